"""The Responses API as requests: read, edited as little as possible, and their answers understood in passing.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway import tokens
from gateway.conversation import Untranslatable
from gateway.errors import Broken, InvalidRequest
from gateway.exchange import RESPONSES, Finish, Once, Policy, Request
from gateway.wire import bodies, omission, responses, responses_thoughts, sse
from gateway.wire.fields import Fields, as_object, as_objects, as_text, load
from gateway.wire.passing import CONTENT, NOTHING, Passing, Seen
from gateway.wire.responses_stream import LAST, read_end, read_error, read_usage

# The fields that the gateway may set anew for each provider, and those that are its own and go nowhere.
_HEAD: Final = ("model", "max_output_tokens", *Policy.FIELDS)
# What comes before the first content. A call has begun with its name, and so has a tool that the provider runs itself.
_LIFECYCLE: Final = frozenset(
    {
        *("response.queued", "response.created", "response.in_progress", "keepalive"),
        *("response.content_part.added", "response.reasoning_summary_part.added"),
    }
)
_ADDED: Final = "response.output_item.added"
_SILENT: Final = frozenset({"message", "reasoning"})
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
# Within a text a quotation mark is escaped, so these are never a part of what a model says.
_TELLING: Final = (b'"response.completed"', b'"response.incomplete"', b'"response.failed"', b'"error"')


def read_request(raw: bytes, body: Mapping[str, Any], policy: Policy) -> Request:
    """Return the request in a body for `/v1/responses`; raises `InvalidRequest` naming the field at fault.

    What stands for a state is refused, whoever would serve it: another request may go to another provider.
    """
    told = Fields(body)
    if not body.get("input") or not isinstance(body["input"], str | list):
        raise told.refusal("input", "must be a text or a list with at least one item.")
    responses.refuse_state(body)
    head, rest = bodies.split(raw, body, _HEAD)
    model = told.model()
    stream = bool(told.optional("stream", bool))
    return Request(
        format=RESPONSES,
        needs=frozenset(name for name, needed in {**_needs(body), "streaming": stream}.items() if needed),
        fields=body,
        head=head,
        rest=rest,
        estimate=tokens.estimate(body),
        model=model,
        stream=stream,
        include_usage=True,
        max_tokens=told.positive("max_output_tokens"),
        conversation=Once(lambda: responses.read_conversation(body), Untranslatable, InvalidRequest),
        policy=policy,
    )


def write_relayed(request: Request, model: str, *, unsupported: Sequence[str] = ()) -> bytes:
    """Return the body for a provider that speaks this format: the caller's own with the provider's name of the model.

    Reasoning in the gateway's own envelope comes from a model of another format, and is left out: nobody here could
    read it. `unsupported` are the paths of what else is.
    """
    head = request.head_for(model)
    if responses_thoughts.PREFIX.encode() not in request.rest:
        return omission.relayed(request, head, unsupported)
    fields = bodies.exactly(request.rest)
    if isinstance(fields["input"], list):
        fields["input"] = [item for item in fields["input"] if not _is_own(item)]
    return bodies.join(omission.without(head, unsupported), orjson.dumps(omission.without(fields, unsupported)))


class PassingResponse(Passing):
    """Looks at the events of a response."""

    def __init__(self) -> None:
        super().__init__()
        self._seen_content = False

    def read(self, event: bytes) -> Seen:
        """Return what an event says. After the first content, only the last one and errors are parsed."""
        data = sse.data_of(event)
        if not data:
            return NOTHING
        if self._seen_content and not any(mark in data for mark in _TELLING):
            return CONTENT
        told = load(data)
        read_error(told)
        kind = as_text(told.get("type"))
        if kind in LAST:
            end = _read(as_object(told.get("response")))
            self.reason, self.usage = end.reason, end.usage
            return Seen(tells=end, done=True)
        is_silent = kind in _LIFECYCLE or (
            kind == _ADDED and as_text(as_object(told.get("item")).get("type")) in _SILENT
        )
        self._seen_content = self._seen_content or not is_silent
        return NOTHING if is_silent else CONTENT


def read_answer(raw: bytes) -> Finish:
    """Return how a whole answer ended and what it used; raises the failure of an error told in it, or `Broken`."""
    answer = load(raw)
    told = _read(answer)
    if not isinstance(answer.get("output"), list):
        raise Broken("The provider answered 200 without a response.")
    return told


def _needs(body: Mapping[str, Any]) -> dict[str, bool]:
    """Return what a body asks of a model, by the names of the capabilities."""
    items = as_objects(body.get("input"))
    parts = [part for item in items for name in ("content", "output") for part in as_objects(item.get(name))]
    form = as_text(as_object(as_object(body.get("text")).get("format")).get("type"))
    return {
        "tools": bool(body.get("tools")) or any(item.get("tools") for item in items),
        "vision": any(part.get("type") == "input_image" for part in parts),
        "json": form in {"json_object", "json_schema"},
    }


def _read(response: Mapping[str, Any]) -> Finish:
    reason = read_end(response)
    if reason == "stop" and any(as_text(item.get("type")) in _CALLS for item in as_objects(response.get("output"))):
        reason = "tool_calls"
    return Finish(reason, read_usage(response.get("usage")))


def _is_own(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    return responses_thoughts.unseal(as_text(item.get("encrypted_content"))) is not None
