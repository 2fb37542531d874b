"""One try at one provider: ask, pass on what it says, and record how it went, however it ends."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final

from accounts.prices import Prices, prices_of
from gateway import beside, tokens
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.cooldown import Permit, cooldowns
from gateway.errors import CallerError, CallerLeft, GatewayError, MovesOn, ProviderFailure, Rejected
from gateway.exchange import CALLER_LEFT, Attempt, Delta, Finish, Heard, Request, Usage
from gateway.metrics import standings
from gateway.patience import Patience

_NAMELESS: Final = "The provider"


def run(
    request: Request, permit: Permit, patience: Patience, *, transport: Transport, record: Attempt
) -> Generator[Delta]:
    """Yield the pieces of an answer and fill in `record`; raises `ProviderFailure`, `OutOfTime` or `CallerLeft`.

    Closing the iterator early closes the connection to the provider. An answer, or the part of one, that comes without
    a usage is counted here and flagged as estimated; so is the prompt of one that the caller or the request's own time
    cut off before its first word, for which providers may ask. How it went is told to the cooldowns and the standings.
    """
    record.began = began = time.monotonic()
    model = permit.model
    adapter = ADAPTERS[model.provider.type]
    record.prices = (*prices_of(model),) if model.has_price else ()  # a plain tuple, which JSON knows
    try:
        record.dropped = beside.run(request.rest, adapter.dropped, request, model)
        with (
            patience.within(model.provider.total_timeout),
            closing(adapter.answer(request, model, patience, transport)) as pieces,
        ):
            yield from _counted(pieces, request, permit, record=record, clock=patience)
        record.status = 200
        cooldowns.succeeded(permit)
    except ProviderFailure as failure:
        _note_failure(record, failure, permit, began)
        raise
    except GatewayError as ended:
        record.error = ended.code
        if not isinstance(ended, CallerError):
            _note_cut_off(record, permit, began)
        raise
    except (CallerLeft, GeneratorExit):
        record.status, record.error = 499, CALLER_LEFT
        _note_cut_off(record, permit, began)
        raise
    finally:
        cooldowns.released(permit)
        record.ms = _milliseconds_since(began)


def _counted(
    pieces: Iterator[Heard | Delta | Finish | Usage],
    request: Request,
    permit: Permit,
    *,
    record: Attempt,
    clock: Patience,
) -> Generator[Delta]:
    """Pass the pieces on; note in the record when the first content came, how it ended and what it used."""
    began = time.monotonic()
    told: Usage | None = None
    so_far = Usage(uncached=request.estimate)
    seen = 0
    is_cut_off = True
    try:
        for piece in pieces:
            if isinstance(piece, Heard):
                record.upstream = piece.headers
                continue
            if isinstance(piece, Finish):
                told = piece.usage
                _note_end(record, piece, told or replace(so_far, output=max(so_far.output, seen), estimated=True))
                continue
            if isinstance(piece, Usage):
                so_far = piece
                continue
            if piece.content:
                seen += _words(piece, request) if told is None else 0
                _note_words(record, permit, began)
            yield piece
        is_cut_off = False
    except (ProviderFailure, CallerError) as failure:
        is_cut_off = False
        if failure.usage is not None:
            told = failure.usage
            _note_usage(record, told)
        raise
    finally:
        if told is None and (seen or (is_cut_off and clock.has_asked)):
            _note_usage(record, replace(so_far, output=max(so_far.output, seen), estimated=True))


def _note_end(record: Attempt, end: Finish, used: Usage) -> None:
    record.reason, record.is_finished = end.reason, True
    _note_usage(record, used)


def _note_usage(record: Attempt, used: Usage) -> None:
    record.usage = used
    if record.prices:
        record.cost_micro = Prices(*record.prices).cost_micro(
            uncached=used.uncached,
            output=used.output,
            cache_read=used.cache_read,
            cache_write=used.cache_write,
            cache_write_1h=used.cache_write_1h,
        )


def _words(piece: Delta, request: Request) -> int:
    """Return about how many tokens a piece has, for an answer that does not tell."""
    return 1 if request.stream else tokens.of_text(piece.raw.decode(errors="replace"))


def _note_failure(record: Attempt, failure: ProviderFailure, permit: Permit, began: float) -> None:
    if key := permit.model.provider.key:
        failure.hide(key.reveal())
    if failure.message.startswith(_NAMELESS):  # wire formats do not know whose words they read
        failure.message = permit.model.provider.name + failure.message.removeprefix(_NAMELESS)
    record.status, record.error = failure.upstream_status, failure.code
    cooldowns.failed(permit, failure)
    if failure.moves_on is MovesOn.ANY and not isinstance(failure, Rejected):  # which are the caller's doing
        standings.failed(permit.model.pk, record.ttft_ms or _milliseconds_since(began))


def _note_cut_off(record: Attempt, permit: Permit, began: float) -> None:
    if record.ttft_ms is None:
        standings.given_up(permit.model.pk, _milliseconds_since(began))


def _note_words(record: Attempt, permit: Permit, began: float) -> None:
    if record.ttft_ms is None:
        record.ttft_ms = _milliseconds_since(began)
        cooldowns.succeeded(permit)
        standings.answered(permit.model.pk, record.ttft_ms)


def _milliseconds_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
