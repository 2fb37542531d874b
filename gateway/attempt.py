"""One try at one provider: ask, pass on what it says, and record how it went, however it ends."""

import time
from collections.abc import Generator
from contextlib import closing

from accounts.prices import cost_micro
from gateway import tokens
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.errors import CallerLeft, ProviderFailure
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
    counted: Usage | None = None
    output = 0
    try:
        with (
            patience.within(model.provider.total_timeout),
            closing(ADAPTERS[model.provider.type].answer(request, model, patience, transport)) as pieces,
        ):
            for piece in pieces:
                if isinstance(piece, Finish):
                    record.reason, counted = piece.reason, piece.usage
                    continue
                if piece.content:
                    output += 1 if request.stream else tokens.of_text(piece.raw.decode(errors="replace"))
                    record.ttft_ms = _milliseconds_since(began) if record.ttft_ms is None else record.ttft_ms
                yield piece
        record.status = 200
    except ProviderFailure as failure:
        record.status, record.error = failure.upstream_status, failure.code
        raise
    except (CallerLeft, GeneratorExit):
        record.status, record.error = 499, "caller_left"
        raise
    finally:
        record.ms = _milliseconds_since(began)
        if counted is not None:
            record.usage = counted
        elif output:
            record.usage = Usage(uncached=tokens.estimate(request.fields), output=output, estimated=True)
        used = record.usage
        record.cost_micro = cost_micro(
            model,
            uncached=used.uncached,
            cache_read=used.cache_read,
            cache_write=used.cache_write,
            output=used.output,
        )


def _milliseconds_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
