"""What happens to a request; owns no table."""
