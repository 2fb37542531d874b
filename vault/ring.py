"""The ring of keys that this process was started with."""

import os

from django.conf import settings

from vault.crypto import Ring, ring_from_environment


def get_ring() -> Ring:
    """Return the ring; raises `KeyProblem` where the environment holds none, saying what is wrong with it."""
    ring: Ring | None = settings.TOKENHUB_KEY_RING
    return ring or ring_from_environment(os.environ)
