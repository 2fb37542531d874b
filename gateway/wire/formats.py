"""The wire formats that a caller may have, each with the writers of its answers."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from gateway.conversation import Piece, Words
from gateway.errors import GatewayError
from gateway.exchange import CHAT, COMPLETION, EMBEDDING, MESSAGES, PLAIN, RESPONSES, Finish, Request
from gateway.wire import (
    anthropic,
    anthropic_tools,
    anthropic_writers,
    chat_function_stream,
    chat_functions,
    chat_stream,
    completion_stream,
    embeddings,
    messages,
    openai,
    responses_relay,
    responses_writers,
)
from gateway.wire.passing import Passing
from gateway.wire.pieces import Writer

Head = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """How answers are written: `head` has the model's name, the time, and an id that begins with `prefix`."""

    prefix: str
    stream: Callable[[Head, Request], Writer]
    whole: Callable[[Head, Request], Writer]


@dataclass(frozen=True, slots=True)
class Relay:
    """How the answers of a provider that speaks the caller's own format are looked at: a stream, or a whole one."""

    passing: Callable[[Request], Passing]
    read_answer: Callable[[bytes, Request], Finish]


class PlainWriter:
    """Writes the words alone, for the gateway's own use."""

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the words in UTF-8."""
        return piece.text.encode(errors="replace") if isinstance(piece, Words) else b""


def _chat(request: Request) -> ModuleType:
    """Return the writers of chats, which for callers from before tools tell a call in a way of its own."""
    return chat_function_stream if chat_functions.are_in(request.fields) else chat_stream


def _completion(head: Head, request: Request) -> completion_stream.ChoicesWriter:
    if request.stream:
        return completion_stream.StreamWriter(head, include_usage=request.include_usage)
    return completion_stream.WholeWriter(head)


FORMATS: Final[Mapping[str, Format]] = {
    CHAT: Format(
        "chatcmpl-",
        lambda head, request: _chat(request).StreamWriter(head, include_usage=request.include_usage),
        lambda head, request: _chat(request).WholeWriter(head),
    ),
    COMPLETION: Format("cmpl-", _completion, _completion),
    MESSAGES: Format(
        "msg_",
        lambda head, request: anthropic_writers.StreamWriter(
            head, anthropic_tools.originals(request.fields), input_tokens=request.estimate
        ),
        lambda head, request: anthropic_writers.WholeWriter(
            head, anthropic_tools.originals(request.fields), input_tokens=request.estimate
        ),
    ),
    RESPONSES: Format(
        "resp_",
        lambda head, request: responses_writers.StreamWriter(head, request.fields),
        lambda head, request: responses_writers.WholeWriter(head, request.fields),
    ),
    PLAIN: Format("", lambda *_: PlainWriter(), lambda *_: PlainWriter()),
}

_CHUNKS: Final = Relay(
    lambda request: openai.PassingChunks(include_usage=request.include_usage), lambda raw, _: openai.read_answer(raw)
)
RELAYS: Final[Mapping[str, Relay]] = {
    CHAT: _CHUNKS,
    COMPLETION: _CHUNKS,
    MESSAGES: Relay(lambda _: messages.PassingMessage(), lambda raw, _: messages.read_answer(raw)),
    RESPONSES: Relay(lambda _: responses_relay.PassingResponse(), lambda raw, _: responses_relay.read_answer(raw)),
    EMBEDDING: Relay(_CHUNKS.passing, embeddings.read_answer),  # there are no streams of them
}


def error_body(error: GatewayError, path: str, request_id: str, *, is_anthropics: bool = False) -> dict[str, Any]:
    """Return an error as callers of a path read it that may be no endpoint: in Anthropic's shape, or else in OpenAI's.

    Anthropic's clients are known by the path of messages, and where `is_anthropics` says so.
    """
    if is_anthropics or path.lstrip("/").startswith("v1/messages"):
        return anthropic.error_body(error, request_id)
    return openai.error_body(error)


def new_writer(request: Request, model: str) -> Writer:
    """Return a writer of an answer to a request, under an id of its own and this name of the model."""
    form = FORMATS[request.format]
    head = _head(form, model)
    return form.stream(head, request) if request.stream else form.whole(head, request)


def completion_writer(request: Request, model: str) -> completion_stream.ChoicesWriter:
    """Return a writer of a completion of several choices."""
    return _completion(_head(FORMATS[COMPLETION], model), request)


def _head(form: Format, model: str) -> Head:
    return {"id": f"{form.prefix}{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
