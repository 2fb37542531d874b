"""Answers of text completions, streams and whole ones, written from pieces.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.conversation import Piece, Words
from gateway.exchange import Finish
from gateway.wire import sse
from gateway.wire.openai import DONE, write_usage

_REASONS: Final = {"length": "length", "content_filter": "content_filter"}


class StreamWriter:
    """Writes the events of a stream of text completions; `head` holds `id`, `created` and `model`."""

    def __init__(self, head: Mapping[str, Any], *, include_usage: bool = False) -> None:
        self._head = {**head, "object": "text_completion"}
        self._include_usage = include_usage

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the event of some words; `Finish` is written up to `[DONE]`, and nothing else has a place here."""
        match piece:
            case Words(text):
                return self._event(text)
            case Finish(reason, usage):
                told = self._event("", _REASONS.get(reason, "stop"))
                if self._include_usage and usage:
                    told += sse.event(orjson.dumps({**self._head, "choices": [], "usage": write_usage(usage)}))
                return told + sse.event(DONE)
        return b""

    def _event(self, text: str, reason: str | None = None) -> bytes:
        unused = {"usage": None} if self._include_usage else {}
        return sse.event(orjson.dumps({**self._head, "choices": [_choice(text, reason)], **unused}))


class WholeWriter:
    """Writes one text completion, at the `Finish`; `head` holds `id`, `created` and `model`."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._head = head
        self._words: list[str] = []

    def write(self, piece: Piece | Finish) -> bytes:
        """Keep some words, and return the whole answer at the end."""
        match piece:
            case Words(text):
                self._words.append(text)
            case Finish(reason, usage):
                choices = [_choice("".join(self._words), _REASONS.get(reason, "stop"))]
                told = {"usage": write_usage(usage)} if usage else {}
                return orjson.dumps({**self._head, "object": "text_completion", "choices": choices, **told})
        return b""


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
