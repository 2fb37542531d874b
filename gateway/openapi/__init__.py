"""The OpenAPI document: what the endpoints take and answer, as far as it can be from the code's own tables."""
