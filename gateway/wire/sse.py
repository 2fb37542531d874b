"""Server-sent events: a feed of bytes cut into whole events, byte for byte.

Source: WHATWG HTML, "Server-sent events": lines end with LF, CR or CRLF, and a blank line ends an event.
"""

import re
from typing import Final

from gateway.errors import Broken

MAX_EVENT_BYTES = 4 * 1024 * 1024

# Two line ends in a row. A CR at the very end of the buffer may be half of a CRLF, so something has to follow it.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
# How much of two line ends may stand at the end of the buffer, not yet known for them.
_UNDECIDED: Final = len(b"\r\n\r")


class EventSplitter:
    """Cuts what it is fed into events, each as it came with its line ends, whatever the borders of the pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that this piece completes; raises `Broken` when one grows past all measure.

        What is pending is searched once, so that the time is linear however small the pieces are.
        """
        if not self._pending:  # as most often: what is whole is not copied
            events, end = _cut(piece, 0)
            self._pending += piece[end:]
        else:
            searched = max(0, len(self._pending) - _UNDECIDED)
            self._pending += piece
            events, end = _cut(self._pending, searched)
            del self._pending[:end]
        if len(self._pending) > MAX_EVENT_BYTES:
            raise Broken("The provider sent an event without an end.")
        return events

    def rest(self) -> bytes:
        """Return what came after the last whole event, which may be another without its blank line, or half of one."""
        pending, self._pending = bytes(self._pending), bytearray()
        return pending


def _cut(buffer: bytes | bytearray, searched: int) -> tuple[list[bytes], int]:
    """Return the whole events of a buffer whose first `searched` bytes end none, and where the last of them ends."""
    events = []
    start = 0
    for blank in _BLANK_LINE.finditer(buffer, searched):
        events.append(bytes(buffer[start : blank.end()]))
        start = blank.end()
    return events, start


def data_of(event: bytes) -> bytes:
    """Return the `data` of an event, its lines joined by LF; empty for comments and for fields of other names."""
    is_usual = event.startswith(b"data: {") and event.endswith(b"}\n\n")
    if is_usual and event.count(b"\n") == 2 and b"\r" not in event:
        return event[6:-2]
    lines = []
    for line in _LINE_END.split(event.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def ended(rest: bytes) -> bytes:
    """Return the last event of a stream with the blank line that it came without."""
    return rest.rstrip(b"\r\n") + b"\n\n"


def comment(text: bytes) -> bytes:
    """Return an event that clients pass over; `text` is one line."""
    return b": " + text + b"\n\n"


def event(data: bytes, *, name: bytes = b"") -> bytes:
    """Return one event that carries a line of data, under a name where the format has names for its events."""
    return (b"event: " + name + b"\n" if name else b"") + b"data: " + data + b"\n\n"
