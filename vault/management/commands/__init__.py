"""generatekey and rotatekeys."""
