"""Answers of text completions, streams and whole ones, written from pieces.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.conversation import Piece, Words
from gateway.exchange import Finish, Usage
from gateway.wire import sse
from gateway.wire.openai import DONE, write_usage

_REASONS: Final = {"length": "length", "content_filter": "content_filter"}


class ChoicesWriter(ABC):
    """Writes an answer of one choice piece by piece, or one of several choices by their `index`."""

    @abstractmethod
    def say(self, text: str, index: int = 0) -> bytes:
        """Return what is to be sent for the next words of a choice."""

    @abstractmethod
    def end(self, reason: str, index: int = 0) -> bytes:
        """Return what is to be sent where a choice is over."""

    @abstractmethod
    def close(self, usage: Usage | None) -> bytes:
        """Return what is to be sent where all of them are over."""

    def write(self, piece: Piece | Finish) -> bytes:
        """Return what is to be sent for a piece of the only choice; what is no words has no place here."""
        match piece:
            case Words(text):
                return self.say(text)
            case Finish(reason, usage):
                return self.end(reason) + self.close(usage)
        return b""


class StreamWriter(ChoicesWriter):
    """Writes the events of a stream of text completions; `head` holds `id`, `created` and `model`."""

    def __init__(self, head: Mapping[str, Any], *, include_usage: bool = False) -> None:
        self._head = {**head, "object": "text_completion"}
        self._include_usage = include_usage

    def say(self, text: str, index: int = 0) -> bytes:
        """Return the event of some words."""
        return self._event(_choice(index, text, None))

    def end(self, reason: str, index: int = 0) -> bytes:
        """Return the event that says why a choice ended."""
        return self._event(_choice(index, "", reason))

    def close(self, usage: Usage | None) -> bytes:
        """Return the usage, for those who asked for it and if there is one, and `[DONE]`."""
        told = {**self._head, "choices": [], "usage": write_usage(usage)} if self._include_usage and usage else None
        return (sse.event(orjson.dumps(told)) if told else b"") + sse.event(DONE)

    def _event(self, choice: Mapping[str, Any]) -> bytes:
        unused = {"usage": None} if self._include_usage else {}
        return sse.event(orjson.dumps({**self._head, "choices": [choice], **unused}))


class WholeWriter(ChoicesWriter):
    """Writes one text completion, when it is closed; `head` holds `id`, `created` and `model`."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._head = head
        self._words: dict[int, list[str]] = {}
        self._choices: list[dict[str, Any]] = []

    def say(self, text: str, index: int = 0) -> bytes:
        """Keep some words."""
        self._words.setdefault(index, []).append(text)
        return b""

    def end(self, reason: str, index: int = 0) -> bytes:
        """Keep a choice."""
        self._choices.append(_choice(index, "".join(self._words.pop(index, ())), reason))
        return b""

    def close(self, usage: Usage | None) -> bytes:
        """Return the whole answer."""
        told = {"usage": write_usage(usage)} if usage else {}
        return orjson.dumps({**self._head, "object": "text_completion", "choices": self._choices, **told})


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    told = None if reason is None else _REASONS.get(reason, "stop")
    return {"index": index, "text": text, "logprobs": None, "finish_reason": told}
