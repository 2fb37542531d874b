"""What is kept of prompts and answers, where the caller's key says so: noted as they pass, stored after the call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from accounts.contents import Content, begin, contents
from gateway.exchange import Call


class _Stream(Protocol):
    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Overheard:
    """The body of a streamed answer, of which a key wants to keep what goes out."""

    def __init__(self, stream: _Stream, content: Content) -> None:
        self._stream = stream
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        """Yield the events as they are."""
        for piece in self._stream:
            self._content.hear(piece)
            yield piece

    def close(self) -> None:
        """Called by the server when the answer is over."""
        try:
            self._stream.close()
        finally:
            contents.keep(self._content)


def begun(call: Call, raw: bytes) -> Content:
    """Return what a call is to be noted in, with the body that its caller sent."""
    return begin(call.id, call.at, raw)


def answered(content: Content, answer: bytes) -> None:
    """Keep a whole answer, or a refusal."""
    content.hear(answer)
    contents.keep(content)
