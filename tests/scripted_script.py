"""What a scripted provider says, and how well or badly it delivers it: plain values and the bytes they come to.

This file knows HTTP/1.1 and no provider's language; builders such as those of `scripted_openai` know one each.
"""

from __future__ import annotations

import http.client
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from itertools import accumulate
from typing import Any, Final, Literal

import orjson


@dataclass(frozen=True, slots=True)
class Tokens:
    """A usage as a provider tells it; `cached` is a part of `input`."""

    input: int
    output: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of an answer: its bytes, how many tokens of output they carry, and the usage they tell."""

    raw: bytes
    output: int = 0
    usage: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one request. A whole answer is a single event."""

    events: tuple[Event, ...] = ()
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """All of its bytes."""
        return b"".join(event.raw for event in self.events)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came, over which connection (counted from 1), and when by the monotonic clock."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    at: float

    def header(self, name: str) -> str:
        """Return a header's value whatever the case of its name; empty where there is none."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")

    @property
    def json(self) -> Any:
        """The body, parsed; an empty object where there is none."""
        return orjson.loads(self.body or b"{}")


Says = Answer | Callable[[Received], Answer]


def raw(
    *events: bytes, status: int = 200, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Answer:
    """Say exactly these bytes."""
    return Answer(tuple(map(Event, events)), status, content_type, headers or {})


def raw_stream(*events: bytes) -> Answer:
    """Say exactly these events of a stream."""
    return raw(*events, content_type="text/event-stream")


def redirect(location: str, *, status: int = 307) -> Answer:
    """Send the caller elsewhere."""
    return raw(status=status, headers={"Location": location})


Ending = Literal["close", "reset", "silence"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an answer breaks off: after so many whole events, or bytes of the body; else before its first byte."""

    after: int | None = None
    after_bytes: int | None = None
    how: Ending = "close"

    @property
    def before_head(self) -> bool:
        """Whether not even the status line is sent."""
        return self.after is None and self.after_bytes is None


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes that are written at once, `pause` seconds after the ones before, and the event that they complete."""

    raw: bytes
    pause: float = 0.0
    completes: Event | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One exchange from the first byte to what becomes of the connection."""

    steps: tuple[Step, ...]
    ending: Ending | Literal["keep"]


@dataclass(frozen=True, slots=True)
class Script:
    """What one request is told, and how. Delays are seconds; a piece is an event, or a part of one where it is split.

    Without `framing`, a stream goes in chunks and everything else has a Content-Length, to which `length_off_by` adds a
    lie. `split` cuts the body every so many bytes, or at these offsets.
    """

    says: Says = Answer()
    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_before_headers: float = 0.0
    delay_between_header_bytes: float = 0.0
    delay_before_body: float = 0.0
    delay_between_pieces: float = 0.0
    framing: Literal["length", "chunked", "close"] | None = None
    length_off_by: int = 0
    split: int | tuple[int, ...] = ()
    gzip: bool = False
    close: bool = False
    cut: Cut | None = None

    def plan(self, received: Received) -> Plan:
        """Return the bytes that answer a request, and when to write them."""
        if self.cut and self.cut.before_head:
            return Plan((Step(b"", self.delay_before_headers),), self.cut.how)
        answer = self.says(received) if callable(self.says) else self.says
        events = _compressed(answer.events) if self.gzip else answer.events
        framing = self.framing or ("chunked" if answer.content_type.startswith("text/event-stream") else "length")
        steps = [*self._head(answer, framing, sum(len(event.raw) for event in events)), *self._body(events, framing)]
        if self.cut:
            return Plan(tuple(steps), self.cut.how)
        if framing == "chunked":
            steps.append(Step(b"0\r\n\r\n"))
        closes = (
            self.close or framing == "close" or self.length_off_by or received.header("connection").lower() == "close"
        )
        return Plan(tuple(steps), "close" if closes else "keep")

    def _head(self, answer: Answer, framing: str, length: int) -> Iterator[Step]:
        headers = {"Content-Type": answer.content_type}
        if framing == "length":
            headers["Content-Length"] = str(length + self.length_off_by)
        if framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        if self.close or framing == "close":
            headers["Connection"] = "close"
        if self.gzip:
            headers["Content-Encoding"] = "gzip"
        lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Scripted')}"]
        lines += [f"{name}: {value}" for name, value in {**headers, **answer.headers, **self.headers}.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        if not self.delay_between_header_bytes:
            yield Step(head, self.delay_before_headers)
            return
        for index in range(len(head)):
            yield Step(head[index : index + 1], self.delay_between_header_bytes if index else self.delay_before_headers)

    def _body(self, events: tuple[Event, ...], framing: str) -> Iterator[Step]:
        whole = b"".join(event.raw for event in events)
        ends = list(accumulate(len(event.raw) for event in events))
        completed = dict(zip(ends, events, strict=True))
        stop = self._stop(ends)
        splits = range(0, stop, self.split) if isinstance(self.split, int) else self.split
        start = 0
        for end in sorted({*ends, *splits, stop}):
            if start < end <= stop:
                piece = whole[start:end]
                framed = b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece
                pause = self.delay_between_pieces if start else self.delay_before_body
                yield Step(framed, pause, completed.get(end))
                start = end

    def _stop(self, ends: list[int]) -> int:
        """Return how many bytes of the body are sent."""
        length = ends[-1] if ends else 0
        if self.cut is None:
            return length
        if self.cut.after_bytes is not None:
            return min(self.cut.after_bytes, length)
        return [0, *ends][min(self.cut.after or 0, len(ends))]


HANG: Final = Script(cut=Cut(how="silence"))
RESET: Final = Script(cut=Cut(how="reset"))


def _compressed(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events in one gzip stream, each readable as soon as it is there."""
    press = zlib.compressobj(wbits=31)
    last = len(events) - 1
    return tuple(
        Event(
            press.compress(event.raw) + press.flush(zlib.Z_FINISH if index == last else zlib.Z_SYNC_FLUSH),
            event.output,
            event.usage,
        )
        for index, event in enumerate(events)
    )
