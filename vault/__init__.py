"""How secrets rest: sealed under a ring of keys; knows no other app."""
