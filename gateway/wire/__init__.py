"""Wire formats, both directions: pure functions between bytes and the dataclasses of `exchange` and `conversation`."""
