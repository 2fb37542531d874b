"""The registry's system checks: what is wrong with the database or the settings is said at the start."""
