"""The endpoints: each says which format it speaks and which flow it wants; `base` is the life of a request."""
