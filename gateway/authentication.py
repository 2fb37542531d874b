"""Who is calling: a client key, as a Bearer token or in `x-api-key`; nobody in particular while there are no keys."""

import time
from typing import Final

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import keys
from accounts.facts import KeyFacts
from accounts.picture import keeper
from gateway.errors import KeyInvalid, Unavailable

_SHOW_ONE: Final = "Send a key of this gateway, as `Authorization: Bearer th_…` or as `x-api-key: th_…`."


class ClientKeys(BaseAuthentication):
    """Knows the keys of the picture that this worker holds; no query is made."""

    def authenticate(self, request: Request) -> tuple[None, KeyFacts] | None:
        """Return the key's facts as DRF's `auth`, or None for a caller who needs none.

        Raises `KeyInvalid`, and `Unavailable` where it cannot be known whether a key is good.
        """
        picture = keeper.current()
        token = _shown(request)
        if not picture.needs_key and not (picture.has_keys and token.startswith(f"{keys.PREFIX}_")):
            return None  # official SDKs insist on a key, and send whatever they were given
        if not token:
            raise KeyInvalid(f"No key was sent. {_SHOW_ONE}")
        try:
            return None, keys.check(token, picture, time.time())
        except keys.PepperMissing as reason:
            raise Unavailable("Keys cannot be checked now.", retry_after=1) from reason
        except keys.KeyRefused as reason:
            if keeper.is_blind and not reason.is_known:
                raise Unavailable(
                    "This key is not known yet, and new ones cannot be read now.", retry_after=1
                ) from reason
            raise KeyInvalid(str(reason)) from None


def _shown(request: Request) -> str:
    """Return the key that a caller shows; of two the one for OpenAI's clients counts."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return bearer or request.META.get("HTTP_X_API_KEY", "").strip()
