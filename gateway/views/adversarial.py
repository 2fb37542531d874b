"""`POST /v1/adversarial`: a plan, its critique and a refined plan, whole or as events."""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

import orjson

from accounts.models import Scope
from gateway import tokens
from gateway.adapters.transport import transport
from gateway.errors import GatewayError, InvalidRequest
from gateway.exchange import Call, Once, Policy
from gateway.flows import FLOWS, PREFIX
from gateway.flows.base import write_usage
from gateway.flows.phases import MICRO, Completed, Event, Result, Said, Started, Wish
from gateway.flows.run import events, read_wish
from gateway.lineup import AUTO
from gateway.patience import Patience
from gateway.views.base import GenerationView
from gateway.wire import chat, openai, sse

_FLOW = FLOWS["adversarial"]


class Adversarial(GenerationView[Wish]):
    """The flow of the same name under a format of its own."""

    scope = Scope.ADVERSARIAL

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Wish:
        """Return what a body asks: a `prompt`, or `messages`, with an optional `system`."""
        if body.get("model") not in (None, AUTO, f"{PREFIX}{_FLOW.name}"):
            raise InvalidRequest("This endpoint asks several models: name a `planner` and a `critic`.", param="model")
        messages = _messages(body)
        conversation = Once(lambda: chat.read_conversation({**body, "messages": messages}))
        return read_wish(_FLOW, body, conversation, policy=wishes, messages=messages)

    def produce(self, asked: Wish, patience: Patience) -> Generator[bytes]:
        """Yield the result, as the last of the events where a stream was asked for."""
        happening = events(_FLOW, asked, self.snapshot, patience, transport=transport, call=self.call)
        with closing(happening):
            for event in happening:
                if asked.stream:
                    yield _written(event, self.call)
                elif isinstance(event, Result):
                    yield orjson.dumps({**event.body, "request_id": self.call.id})

    def size(self, asked: Wish) -> int:
        """Return the estimate of the prompt, and the most that each phase may answer."""
        return tokens.estimate({"messages": asked.messages}) + (asked.max_tokens or 0)

    def thinks(self, asked: Wish) -> bool:
        """Say that a stream is silent for long."""
        return True

    def error_event(self, error: GatewayError) -> bytes:
        """Return an error as the last event of a stream, with what was made before it."""
        return _event("error", {"phase": self.call.phase, **self.error_body(error)})


def _messages(body: Mapping[str, Any]) -> list[Any]:
    prompt, system = body.get("prompt"), body.get("system")
    if system is not None and not isinstance(system, str):
        raise InvalidRequest("`system` must be a text.", param="system")
    if body.get("messages") is not None and prompt is not None:
        raise InvalidRequest("Give either `prompt` or `messages`.", param="prompt")
    if body.get("messages") is None:
        if not isinstance(prompt, str) or not prompt.strip():
            raise InvalidRequest("`prompt` must be a text that is not empty.", param="prompt")
        said = [{"role": "user", "content": prompt}]
    else:
        said = openai.messages_of(body)
    return [{"role": "system", "content": system}, *said] if system else said


def _written(event: Event, call: Call) -> bytes:
    """Return an event of the flow as one of the stream."""
    match event:
        case Started(phase, number):
            return _event("phase.started", {"phase": phase, "round": number})
        case Said(phase, number, text):
            return _event("phase.delta", {"phase": phase, "round": number, "delta": text})
        case Completed():
            told = {"phase": event.phase, "round": event.round, "text": event.text, "finish_reason": event.reason}
            by = {"model": event.model, "provider": event.provider}
            cost = {"usage": write_usage(event.usage), "cost_usd": event.cost_micro / MICRO}
            return _event("phase.completed", told | by | cost)
        case Result(answer, body):
            return _event("result", {"phase": answer.phase, **body, "request_id": call.id})


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return sse.event(orjson.dumps(data), name=name.encode())
