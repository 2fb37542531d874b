"""loadconfig and exportconfig."""
