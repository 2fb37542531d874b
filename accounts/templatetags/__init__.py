"""Tags for the admin of accounts."""
