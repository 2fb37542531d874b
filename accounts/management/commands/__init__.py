"""createkey."""
