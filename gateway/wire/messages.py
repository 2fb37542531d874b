"""Anthropic's Messages as requests: read, edited as little as possible, and their answers understood in passing.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from gateway import tokens
from gateway.conversation import Untranslatable
from gateway.errors import Broken, InvalidRequest
from gateway.exchange import MESSAGES, Finish, Once, Policy, Request
from gateway.wire import anthropic, bodies, failures, omission, sse
from gateway.wire.anthropic_stream import read_usage
from gateway.wire.fields import Fields, as_object, as_objects, as_text, load
from gateway.wire.passing import CONTENT, NOTHING, Passing, Seen

# The fields that the gateway may set anew for each provider, and those that are its own and go nowhere.
_HEAD: Final = ("model", "max_tokens", "thinking", *Policy.FIELDS)
_OF_ANTHROPIC: Final = "anthropic-"  # what the names of its own headers begin with
# What a message has and a question how many tokens it takes has not, by the types of the official SDK.
_NOT_COUNTED: Final = frozenset(
    {
        *("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier"),
        *("container", "inference_geo", "diagnostics", "fallbacks", "fallback_credit_token", "thread"),
        *Policy.FIELDS,
    }
)
_LEAST_BUDGET: Final = 1024  # tokens; Anthropic takes no less


def read_message(raw: bytes, body: Mapping[str, Any], policy: Policy, headers: Mapping[str, str]) -> Request:
    """Return the request in a body for `/v1/messages`; raises `InvalidRequest` naming the field at fault.

    Of the headers, those that are Anthropic's own are kept for its providers.
    """
    told = Fields(body)
    if not told.each("messages"):
        raise told.refusal("messages", "must be a list with at least one message.")
    head, rest = bodies.split(raw, body, _HEAD)
    model = told.model()
    needs = {
        "tools": bool(body.get("tools")),
        "vision": _shows_pictures(as_objects(body["messages"])),
        "json": as_object(as_object(body.get("output_config")).get("format")).get("type") == "json_schema",
        "streaming": bool(told.optional("stream", bool)),
    }
    return Request(
        format=MESSAGES,
        needs=frozenset(name for name, needed in needs.items() if needed),
        fields=body,
        head=head,
        rest=rest,
        estimate=tokens.estimate(body),
        model=model,
        stream=needs["streaming"],
        include_usage=True,
        max_tokens=told.positive("max_tokens", least=0),
        conversation=Once(lambda: anthropic.read_conversation(body), Untranslatable, InvalidRequest),
        policy=policy,
        forwarded=dict(_forwarded(headers)),
    )


def _forwarded(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the caller's headers that are Anthropic's own; one that cannot be sent on is refused here."""
    for name, value in headers.items():
        if not name.lower().startswith(_OF_ANTHROPIC):
            continue
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise InvalidRequest(
                f"The header `{name.lower()}` must be one line of printable ASCII.", param=name.lower()
            )
        yield name.lower(), value


def write_relayed(request: Request, model: str, *, room: int, unsupported: Sequence[str] = ()) -> bytes:
    """Return the body for a provider that speaks Messages: the caller's own with the provider's name of the model.

    `room` is the limit, which is mandatory, for a caller who names none. `thinking_within` says what else is changed.
    """
    head = request.head_for(model)
    head["max_tokens"] = _limit(request, room)
    if thinking := thinking_within(request, room):
        head["thinking"] = thinking
    return omission.relayed(request, head, unsupported)


def thinking_within(request: Request, room: int) -> dict[str, Any]:
    """Return how the caller's thinking is told where the gateway itself set the limit below it; else nothing.

    Anthropic refuses a budget that is not below the limit, except where a model thinks between its calls of tools: so
    what the caller says of both passes as it came.
    """
    limit = _limit(request, room)
    thinking = as_object(request.head.get("thinking"))
    budget = thinking.get("budget_tokens")
    if limit == request.fields.get("max_tokens") or not isinstance(budget, int) or budget < limit:
        return {}
    return {**thinking, "budget_tokens": limit - 1} if limit > _LEAST_BUDGET else {"type": "disabled"}


def _limit(request: Request, room: int) -> int:
    return room if request.max_tokens is None else request.max_tokens


def write_question(request: Request, model: str, *, unsupported: Sequence[str] = ()) -> bytes:
    """Return the body that asks how many tokens the caller's message takes, without what stands at these paths."""
    fields = {name: value for name, value in request.fields.items() if name not in _NOT_COUNTED}
    return orjson.dumps({**omission.without(fields, unsupported), "model": model})


class PassingMessage(Passing):
    """Looks at the events of a message."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: dict[str, Any] = {}

    def read(self, event: bytes) -> Seen:
        """Return what an event says. Deltas are not parsed: quotes within their text are escaped."""
        if b'"content_block_delta"' in event:
            return CONTENT
        data = sse.data_of(event)
        if not data:
            return NOTHING
        told = load(data)
        if error := told.get("error"):
            raise failures.in_band(error)
        match told.get("type"):
            case "message_start":
                self._count(as_object(told.get("message")))
                return Seen(tells=self.usage)
            case "message_delta":
                self.reason = as_text(as_object(told.get("delta")).get("stop_reason")) or self.reason
                self._count(told)
                return Seen(tells=Finish(self.reason, self.usage))
            case "message_stop":
                return Seen(done=bool(self.reason))
        return NOTHING

    def _count(self, message: Mapping[str, Any]) -> None:
        """Take in a usage; what is counted twice counts last."""
        counted = as_object(message.get("usage"))
        self._counted |= {name: value for name, value in counted.items() if value is not None}
        self.usage = read_usage(self._counted)


def read_answer(raw: bytes) -> Finish:
    """Return how a whole message ended and what it used; raises the failure of an error told in it, or `Broken`."""
    answer = load(raw)
    if error := answer.get("error"):
        raise failures.in_band(error)
    if not isinstance(answer.get("content"), list):
        raise Broken("The provider answered 200 without a message.")
    return Finish(as_text(answer.get("stop_reason")), read_usage(answer.get("usage")))


def _shows_pictures(parts: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is a picture in any of the messages, be it in the result of a tool."""
    return any(part.get("type") == "image" or _shows_pictures(as_objects(part.get("content"))) for part in parts)
