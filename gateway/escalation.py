"""Walks a route: the first model that comes to words has the answer, and whatever fails before that is not seen."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Final

from gateway import attempt
from gateway.adapters.transport import Transport
from gateway.errors import MovesOn, NoModelCanServe, ProviderFailure
from gateway.exchange import Attempt, Call, Delta, Request
from gateway.patience import Patience
from gateway.router import Route

MOST_ATTEMPTS: Final = 4
_MOST_HELD_PIECES: Final = 64
_MOST_HELD_BYTES: Final = 256 * 1024


def answer(request: Request, route: Route, patience: Patience, *, transport: Transport, call: Call) -> Generator[Delta]:
    """Yield the pieces of the answer; raises the last `ProviderFailure` when no model of the route comes to words.

    The first pieces of a stream (role, ping) are held back until there is content, so that a provider which fails
    before that leaves no trace in the answer. Every attempt is recorded in `call.attempts`.
    """
    failure: ProviderFailure | None = None
    smallest_window = 0
    for model in route.models:
        if len(call.attempts) >= MOST_ATTEMPTS or model.context_size <= smallest_window:
            continue
        record = Attempt(model.id, model.provider.name)
        call.attempts.append(record)
        with closing(attempt.run(request, model, patience, transport=transport, record=record)) as pieces:
            try:
                held = _until_content(pieces)
            except ProviderFailure as error:
                failure = error
            else:
                yield from held
                yield from pieces
                return
        if failure.moves_on is MovesOn.NOWHERE:
            break
        if failure.moves_on is MovesOn.LARGER:
            smallest_window = model.context_size
    raise failure or NoModelCanServe("No model was tried.")


def _until_content(pieces: Iterator[Delta]) -> list[Delta]:
    """Return the pieces up to the first content, or up to what may be held back at most."""
    held: list[Delta] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece.raw)
        if piece.content or len(held) >= _MOST_HELD_PIECES or size >= _MOST_HELD_BYTES:
            break
    return held
