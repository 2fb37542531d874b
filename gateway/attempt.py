"""One try at one provider: ask, pass on what it says, and record how it went, however it ends."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing

from accounts.prices import cost_micro
from gateway import tokens
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.errors import CallerLeft, GatewayError, ProviderFailure
from gateway.exchange import Attempt, Delta, Finish, Request, Usage
from gateway.patience import Patience
from registry.snapshot import ModelFacts


def run(
    request: Request, model: ModelFacts, patience: Patience, *, transport: Transport, record: Attempt
) -> Generator[Delta]:
    """Yield the pieces of an answer and fill in `record`; raises `ProviderFailure` or `CallerLeft`.

    Closing the iterator early closes the connection to the provider. An answer, or the part of one, that comes without
    a usage is counted here and flagged as estimated.
    """
    began = time.monotonic()
    adapter = ADAPTERS[model.provider.type]
    try:
        with (
            patience.within(model.provider.total_timeout),
            closing(adapter.answer(request, model, patience, transport)) as pieces,
        ):
            yield from _counted(pieces, request, record, began)
        record.status = 200
    except ProviderFailure as failure:
        if key := model.provider.key:
            failure.hide(key.reveal())
        record.status, record.error = failure.upstream_status, failure.code
        raise
    except GatewayError as ended:
        record.error = ended.code
        raise
    except (CallerLeft, GeneratorExit):
        record.status, record.error = 499, "caller_left"
        raise
    finally:
        record.ms = _milliseconds_since(began)
        record.cost_micro = _cost_micro(model, record.usage)


def _counted(pieces: Iterator[Delta | Finish], request: Request, record: Attempt, began: float) -> Generator[Delta]:
    """Pass the pieces on; note in the record when the first content came, how it ended and what it used."""
    told: Usage | None = None
    seen = 0
    try:
        for piece in pieces:
            if isinstance(piece, Finish):
                record.reason, told = piece.reason, piece.usage
                continue
            if piece.content:
                seen += 1 if request.stream else tokens.of_text(piece.raw.decode(errors="replace"))
                record.ttft_ms = _milliseconds_since(began) if record.ttft_ms is None else record.ttft_ms
            yield piece
    finally:
        if told is not None:
            record.usage = told
        elif seen:
            record.usage = Usage(uncached=request.estimate, output=seen, estimated=True)


def _cost_micro(model: ModelFacts, used: Usage) -> int:
    return cost_micro(
        model,
        uncached=used.uncached,
        cache_read=used.cache_read,
        cache_write=used.cache_write,
        output=used.output,
    )


def _milliseconds_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
