"""OpenAI's wire format: chat completions read, edited as little as possible, and their answers understood in passing.

Source: the public API reference of OpenAI and the types of its official SDKs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway import tokens
from gateway.conversation import Conversation, Untranslatable
from gateway.errors import Broken, GatewayError, InvalidRequest, Rejected
from gateway.exchange import CHAT, COMPLETION, Finish, Once, Policy, Request, Usage
from gateway.wire import bodies, chat, completions, failures, omission, sse
from gateway.wire.fields import Fields, as_count, as_object, as_objects, as_text, load, tells_tokens
from gateway.wire.passing import CONTENT, NOTHING, Passing, Seen

DONE: Final = b"[DONE]"

# The fields that the gateway sets anew for each provider, and those that are its own and go nowhere.
_LIMITS: Final = ("max_completion_tokens", "max_tokens")  # of both, the first counts
HEAD: Final = ("model", "stream", "stream_options", *_LIMITS, *Policy.FIELDS)
_TOOLS: Final = ("tools", "functions")


def read_chat(raw: bytes, body: Mapping[str, Any], policy: Policy) -> Request:
    """Return the request in a body for `/v1/chat/completions`; raises `InvalidRequest` naming the field at fault."""
    messages = messages_of(body)
    kind = as_text(as_object(body.get("response_format")).get("type"))
    needs = {
        "tools": any(body.get(name) for name in _TOOLS),
        "vision": shows_pictures(messages),
        "json": kind in {"json_object", "json_schema"},
    }
    conversation = Once(lambda: chat.read_conversation(body), Untranslatable, InvalidRequest)
    return _read(raw, body, policy, form=CHAT, needs=needs, conversation=conversation)


def named(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a body of any format names as the model and as the end user; empty where it names none."""
    user = body.get("user") or as_object(body.get("metadata")).get("user_id")
    model = body.get("model")
    return (model if isinstance(model, str) else "", user if isinstance(user, str) else "")


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a body; raises `InvalidRequest` where they are none."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("`messages` must be a list with at least one message.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest("A message is an object with a `role`.", param=f"messages[{index}]")
    return messages


def read_completion(raw: bytes, body: Mapping[str, Any], policy: Policy) -> Request:
    """Return the request in a body for `/v1/completions`; raises `InvalidRequest` naming the field at fault."""
    conversation = Once(lambda: completions.read_conversation(body), Untranslatable, InvalidRequest)
    completions.check_prompt(body)
    request = _read(raw, body, policy, form=COMPLETION, needs={}, conversation=conversation)
    return replace(request, estimate=completions.estimate(body))


def shows_pictures(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is a picture in any of the messages."""
    parts = [part for message in messages for part in as_objects(message.get("content"))]
    return any(str(part.get("type")).startswith(("image", "input_image")) for part in parts)


def _read(
    raw: bytes,
    body: Mapping[str, Any],
    policy: Policy,
    *,
    form: str,
    needs: Mapping[str, bool],
    conversation: Once[Conversation],
) -> Request:
    head, rest = bodies.split(raw, body, HEAD)
    told = Fields(head)
    model = told.model()
    options = told.inner("stream_options")
    stream = bool(told.optional("stream", bool))
    return Request(
        format=form,
        needs=frozenset(name for name, needed in {**needs, "streaming": stream}.items() if needed),
        fields=body,
        head=head,
        rest=rest,
        estimate=tokens.estimate(body),
        model=model,
        stream=stream,
        include_usage=bool(options and options.optional("include_usage", bool)),
        max_tokens=told.first_positive(*_LIMITS, least=0 if form == COMPLETION else 1),
        conversation=conversation,
        policy=policy,
    )


def write_relayed(request: Request, model: str, *, unsupported: Sequence[str] = (), limit: str = "") -> bytes:
    """Return the body for a provider that speaks this format: the caller's own with the provider's name of the model.

    A stream is always asked to end with its usage, whether or not the caller wants to see it. `limit` names the one
    field in which a chat takes the most tokens, `unsupported` the paths of those that are left out.
    """
    head = request.head_for(model)
    if request.stream:
        head["stream_options"] = {**(head.get("stream_options") or {}), "include_usage": True}
    if limit and request.format == CHAT:
        head = _limited_by(limit, head)
    return omission.relayed(request, head, unsupported)


def _limited_by(limit: str, head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the limit under this name, be it the caller's or the gateway's."""
    given = [head[name] for name in _LIMITS if head.get(name) is not None]
    others = {name: value for name, value in head.items() if name not in _LIMITS}
    return others | ({limit: given[0]} if given else {})


class PassingChunks(Passing):
    """Looks at the events of a stream of chunks, of chats and of completions alike."""

    def __init__(self, *, include_usage: bool) -> None:
        super().__init__()
        self._include_usage = include_usage
        self._seen_content = False

    def read(self, event: bytes) -> Seen:
        """Return what an event says. After the first content, those without usage, reason and error are not parsed."""
        data = sse.data_of(event)
        if not data:
            return NOTHING
        if data == DONE:
            is_over = bool(self.reason) or self._seen_content
            return Seen(tells=Finish(self.reason, self.usage) if is_over else None, done=is_over)
        if self._seen_content and not _tells_something(data):
            return CONTENT
        return self._read_chunk(load(data))

    def _read_chunk(self, chunk: Mapping[str, Any]) -> Seen:
        if error := chunk.get("error"):
            raise failures.in_band(error)
        usage = read_usage(chunk.get("usage"))
        listed = chunk.get("choices")
        choices = as_objects(listed)
        reasons = [str(choice["finish_reason"]) for choice in choices if choice.get("finish_reason")]
        content = any(_has_content(choice) for choice in choices)
        self.usage = usage or self.usage
        self.reason = reasons[0] if reasons else self.reason
        self._seen_content = self._seen_content or content
        hidden = isinstance(chunk.get("usage"), dict) and not choices and not self._include_usage
        return Seen(content, Finish(self.reason, self.usage) if usage else None, hidden)


def read_answer(raw: bytes) -> Finish:
    """Return how a whole answer ended and what it used; raises the failure of an error told in it, or `Broken`."""
    answer = load(raw)
    if error := answer.get("error"):
        raise failures.in_band(error)
    choices = as_objects(answer.get("choices"))
    if not choices:
        raise Broken("The provider answered 200 without a completion.")
    return Finish(str(choices[0].get("finish_reason") or ""), read_usage(answer.get("usage")))


def read_usage(usage: Any) -> Usage | None:
    """Return the tokens of an OpenAI-shaped `usage` in disjoint buckets, none below zero; None where it tells none.

    `prompt_tokens` counts what was read from the cache, and what was written to it, as well.
    """
    if not tells_tokens(usage, "prompt_tokens", "completion_tokens"):
        return None
    details = as_object(usage.get("prompt_tokens_details"))
    prompt, output = as_count(usage.get("prompt_tokens")), as_count(usage.get("completion_tokens"))
    cached = min(prompt, as_count(details.get("cached_tokens")))
    written = min(prompt - cached, as_count(details.get("cache_write_tokens")))
    reasoning = as_count(as_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    return Usage(
        uncached=prompt - cached - written,
        cache_read=cached,
        cache_write=written,
        output=output,
        reasoning=min(reasoning, output),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return a usage in OpenAI's shape, in which the prompt counts both buckets of the cache as well."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def write_model(model_id: str, *, created: int, owner: str) -> dict[str, Any]:
    """Return a model in OpenAI's shape; `created` in Unix seconds."""
    return {"id": model_id, "object": "model", "created": created, "owned_by": owner}


def error_body(error: GatewayError) -> dict[str, Any]:
    """Return an error in OpenAI's shape; what a provider said in it of the caller's own doing is handed on as it is."""
    if isinstance(error, Rejected) and error.body is not None:
        if error.body.get("type") != "error":
            return error.body
        told = error.body["error"]  # in Anthropic's shape
        return {"error": {"message": told["message"], "type": error.kind, "param": None, "code": None}}
    told = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return {"error": told | ({"tried": error.tried} if error.tried else {})}


def _has_content(choice: Mapping[str, Any]) -> bool:
    """Whether a choice of a chunk carries anything beside its role: text, reasoning, a tool call, a refusal."""
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return bool(choice.get("text"))
    return any(value for name, value in delta.items() if name != "role")


def _tells_something(data: bytes) -> bool:
    """Whether a chunk may hold a usage, a reason to end or an error, judged without parsing it."""
    if b'"error"' in data:
        return True
    usages = data.count(b'"usage"') - data.count(b'"usage":null') - data.count(b'"usage": null')
    reasons = (
        data.count(b'"finish_reason"') - data.count(b'"finish_reason":null') - data.count(b'"finish_reason": null')
    )
    return usages > 0 or reasons > 0
