"""Completions of several choices: models for completions are asked for all of them at once, others one by one."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from itertools import chain

from gateway import escalation
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.errors import AllCooling, AllFailed, AllLimited, GatewayError, MovesOn
from gateway.exchange import Call, Delta, Finish, Request, Usage
from gateway.patience import Patience
from gateway.router import Route
from gateway.wire.completions import parts
from gateway.wire.formats import completion_writer
from registry.snapshot import ModelFacts


def deltas(request: Request, route: Route, patience: Patience, *, transport: Transport, call: Call) -> Generator[Delta]:
    """Yield the answer in the caller's format; raises what `escalation.answer` does.

    A failure moves on from models of one kind to those of the other as long as there is no word of any choice.
    """
    ways = _by_kind(request, route)
    *_, last = ways
    tried = list(GatewayError.tried)
    for is_native, way in ways.items():
        answer = escalation.answer if is_native else _one_by_one
        try:
            yield from answer(request, way, patience, transport=transport, call=call)
        except GatewayError as error:
            tried += error.tried
            error.tried = tried
            if is_native is last or _has_begun(call) or not _moves_on(error):
                raise
        else:
            return


def _by_kind(request: Request, route: Route) -> dict[bool, Route]:
    """Return the models that take the request as it is, under true, and those that chat; the kind of the best first."""
    kinds: dict[bool, list[ModelFacts]] = {}
    for model in route.models:
        kinds.setdefault(ADAPTERS[model.provider.type].relays(request, model), []).append(model)
    return {is_native: replace(route, models=models) for is_native, models in kinds.items()}


def _one_by_one(
    request: Request, route: Route, patience: Patience, *, transport: Transport, call: Call
) -> Generator[Delta]:
    """Yield an answer whose choices are attempts of their own, one after the other."""
    used = Usage()
    with closing(_pieces(request, route, patience, transport=transport, call=call)) as pieces:
        first = next(pieces)
        writer = completion_writer(request, call.answered.model if call.answered else "")
        for index, piece in chain([first], pieces):
            if isinstance(piece, Finish):
                used += piece.usage or Usage()
                yield Delta(writer.end(piece.reason, index), content=False)
            elif piece:
                yield Delta(writer.say(piece, index))
    yield Delta(writer.close(used))


def _pieces(
    request: Request, route: Route, patience: Patience, *, transport: Transport, call: Call
) -> Generator[tuple[int, str | Finish]]:
    """Yield the words of each choice under its index, and how it ended."""
    for index, part in enumerate(parts(request)):
        with closing(escalation.answer(part.request, route, patience, transport=transport, call=call)) as said:
            first = next(said, Delta(b""))  # a failure comes before the echo, which would be the first of the answer
            for text in (part.echo, first.raw.decode()):
                yield index, text
            for delta in said:
                yield index, delta.raw.decode()
        yield index, _finish(call)


def _finish(call: Call) -> Finish:
    return Finish(call.answered.reason, call.answered.usage) if call.answered else Finish()


def _has_begun(call: Call) -> bool:
    """Whether a choice has come to words or to its end."""
    return any(tried.ttft_ms is not None or not tried.error for tried in call.attempts)


def _moves_on(error: GatewayError) -> bool:
    return error.moves_on is MovesOn.ANY or isinstance(error, AllCooling | AllFailed | AllLimited)
