"""The official SDKs' own types of requests and answers, by wire format, and what they say of a value."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types import message_create_params as of_messages
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types import completion_create_params as of_completions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as of_chats
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses import response_create_params as of_responses
from pydantic import TypeAdapter

_REQUESTS: Final[Mapping[tuple[str, bool], TypeAdapter[Any]]] = {
    ("chat", False): TypeAdapter(of_chats.CompletionCreateParamsNonStreaming),
    ("chat", True): TypeAdapter(of_chats.CompletionCreateParamsStreaming),
    ("completion", False): TypeAdapter(of_completions.CompletionCreateParamsNonStreaming),
    ("completion", True): TypeAdapter(of_completions.CompletionCreateParamsStreaming),
    ("messages", False): TypeAdapter(of_messages.MessageCreateParamsNonStreaming),
    ("messages", True): TypeAdapter(of_messages.MessageCreateParamsStreaming),
    ("responses", False): TypeAdapter(of_responses.ResponseCreateParamsNonStreaming),
    ("responses", True): TypeAdapter(of_responses.ResponseCreateParamsStreaming),
}
_ANSWERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "chat": TypeAdapter(ChatCompletion),
    "completion": TypeAdapter(Completion),
    "messages": TypeAdapter(Message),
    "responses": TypeAdapter(Response),
}
_EVENTS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "completion": TypeAdapter(Completion),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "responses": TypeAdapter(ResponseStreamEvent),
}


def known(form: str, request: Mapping[str, Any]) -> Any:
    """Return what the SDK knows of a request: without the fields that it has no name for; raises ValidationError."""
    return _drained(_REQUESTS[form, bool(request.get("stream"))].validate_python(request))


def check_answer(form: str, answer: Any) -> None:
    """Raise ValidationError for what is no answer."""
    _ANSWERS[form].validate_python(answer, strict=True)


def check_events(form: str, events: Iterable[Any]) -> None:
    """Raise ValidationError for what is no event; the SDKs themselves pass over `[DONE]` and pings.

    The type of a completion does not know that a stream of them has no `finish_reason` before its end.
    """
    for event in events:
        if event == "[DONE]" or event.get("type") == "ping":
            continue
        _EVENTS[form].validate_python(_ended(event) if form == "completion" else event, strict=True)


def collected(form: str, events: Iterable[Any]) -> Any:
    """Return the whole answer that the SDK's own helper makes of the events of a chat or a message."""
    checked = [_EVENTS[form].validate_python(event) for event in events if event != "[DONE]"]
    if form == "messages":
        message = None
        arguments: dict[int, bytes] = {}
        for event in checked:
            message = accumulate_event(event=event, current_snapshot=message, json_bufs=arguments)
        return message.to_dict() if message else None
    state = ChatCompletionStreamState()
    for chunk in checked:
        state.handle_chunk(chunk)
    return _without_helpers_own(state.current_completion_snapshot.to_dict())


def _without_helpers_own(value: Any) -> Any:
    """Return an answer without what the helper adds to the parts that it puts together."""
    if isinstance(value, list):
        return [_without_helpers_own(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    is_part = "type" in value or "arguments" in value
    own = {"index", "parsed_arguments"} if is_part else {"parsed"}
    return {name: _without_helpers_own(inner) for name, inner in value.items() if name not in own}


def _ended(event: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in event["choices"]]
    return {**event, "choices": choices}


def _drained(value: Any) -> Any:
    """Return a value with its lists read to their ends, since what is declared as Iterable is validated only then."""
    if isinstance(value, Mapping):
        return {name: _drained(inner) for name, inner in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_drained(inner) for inner in value]
