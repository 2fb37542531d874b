"""`Idempotency-Key`: a request that is sent again is answered as it was the first time, and asked of nobody again."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from django.db import Error as DatabaseFault
from django.http import HttpResponse

from accounts.repeats import Answer, KeyReused, Place, Wanted, repeats
from gateway.errors import IdempotencyKeyReused, InvalidRequest, Unavailable
from gateway.exchange import Call
from gateway.patience import Patience
from registry.keeper import one_line
from vault.crypto import Unopenable

logger = logging.getLogger(__name__)

HEADER: Final = "Idempotency-Key"
_IN_WSGI: Final = "HTTP_IDEMPOTENCY_KEY"
REPLAY: Final = {"x-tokenhub-idempotent-replay": "true"}
_KEY: Final = re.compile(r"[ -~]{1,255}")
_LOOK_SECONDS: Final = 0.05
_MOST_BYTES: Final = 1024 * 1024  # of an answer that is kept; whoever asks again for a larger one is answered anew
_KEPT_HEADERS: Final = (
    *("x-tokenhub-provider", "x-tokenhub-model", "x-tokenhub-attempts", "x-tokenhub-decision"),
    *("x-tokenhub-dropped-params", "x-should-retry"),
)
# Refusals that another try may not meet: they are not the answer to what was asked.
_NOT_FINAL: Final = frozenset({401, 402, 408, 409, 425, 429, 499})


class Claim:
    """A request's hold on its key, from the first look to the answer."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._place: Place | None = None

    def earlier_answer(self, patience: Patience) -> Answer | None:
        """Return what was answered before; None where this request is the one to be answered.

        While another is at work on it this waits, no longer than the request may take. Raises `IdempotencyKeyReused`,
        and `Unavailable` where nobody can say.
        """
        try:
            while (place := repeats.claim(self._wanted)).answer is None:
                if place.is_mine:
                    self._place = place
                    return None
                _wait(place, patience)
            return place.answer
        except KeyReused:
            raise IdempotencyKeyReused(f"This {HEADER} was sent with another request before.") from None
        except (DatabaseFault, Unopenable) as error:
            raise Unavailable(f"What was answered to this {HEADER} cannot be read now.", retry_after=1) from error

    def settle(self, response: HttpResponse) -> None:
        """Keep a final answer for those who ask again; after any other the next try is a real one."""
        place, self._place = self._place, None
        if place is None:
            return
        status = response.status_code
        is_small = len(response.content) <= _MOST_BYTES
        is_final = status < 300 or (400 <= status < 500 and status not in _NOT_FINAL)
        headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
        try:
            repeats.settle(place.row, Answer(status, headers, response.content) if is_final and is_small else None)
        except DatabaseFault as error:
            logger.warning("an answer cannot be kept for its %s: %s", HEADER, one_line(error))


def claimed(meta: Mapping[str, Any], call: Call, body: bytes) -> Claim | None:
    """Return the claim of a request whose headers in WSGI have a key, else None.

    Raises `InvalidRequest` for a key that is none.
    """
    key = meta.get(_IN_WSGI)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"{HEADER} has 1 to 255 printable ASCII characters.", param=HEADER)
    path = call.endpoint.partition(" ")[2]
    return Claim(Wanted(call.key or 0, key, call.id, path, body))


def refuse_stream(meta: Mapping[str, Any]) -> None:
    """Refuse a key with a stream, which cannot be told again."""
    if _IN_WSGI in meta:
        raise InvalidRequest(f"{HEADER} is for whole answers: leave it out, or `stream`.", param=HEADER)


def _wait(place: Place, patience: Patience) -> None:
    repeats.awaited(place.row, 1)
    try:
        while repeats.is_under_way(place.row):
            patience.pause(_LOOK_SECONDS)
    finally:
        repeats.awaited(place.row, -1)
