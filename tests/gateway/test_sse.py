"""Server-sent events come out whole and unchanged, however they were cut on the way."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import Broken
from gateway.wire import sse
from tests.conversations import PATIENT

STREAM = b'data: {"a": 1}\n\n: ping\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata: caf\xc3\xa9\n\ndata: [DONE]\n\n'
EVENTS = [
    b'data: {"a": 1}\n\n',
    b": ping\n\n",
    b"event: x\r\ndata: one\r\ndata: two\r\n\r\n",
    b"data: caf\xc3\xa9\n\n",
    b"data: [DONE]\n\n",
]


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = sse.EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return [*events, *filter(None, [splitter.rest()])]


def test_it_works() -> None:
    assert split([STREAM]) == EVENTS
    assert [sse.data_of(event) for event in EVENTS] == [b'{"a": 1}', b"", b"one\ntwo", "café".encode(), b"[DONE]"]


@pytest.mark.parametrize("position", range(1, len(STREAM)))
def test_every_split_position(position: int) -> None:
    assert split([STREAM[:position], STREAM[position:]]) == EVENTS


def test_byte_by_byte() -> None:
    assert split([STREAM[i : i + 1] for i in range(len(STREAM))]) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_line_ends(end: bytes) -> None:
    stream = b"data: a" + end + end + b"data: b" + end + end
    assert [sse.data_of(event) for event in split([stream])] == [b"a", b"b"]


def test_an_unfinished_event_is_what_is_left() -> None:
    assert split([b"data: a\n\ndata: half"]) == [b"data: a\n\n", b"data: half"]


def test_an_event_without_end_is_refused() -> None:
    splitter = sse.EventSplitter()
    with pytest.raises(Broken):
        for _ in range(6):
            splitter.feed(b"x" * 1024 * 1024)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a"]), max_size=12), st.data())
def test_any_line_ends_at_any_borders(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream)))
    assert split([stream[i : i + 1] for i in range(len(stream))]) == split([stream[:cut], stream[cut:]])


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_nothing_is_lost(pieces: list[bytes]) -> None:
    assert b"".join(split(pieces)) == b"".join(pieces)


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
LINES = st.one_of(
    st.builds("data: {}".format, TEXTS | st.just('{"é": "\N{ROLLING ON THE FLOOR LAUGHING}"}')),
    st.builds("data:{}".format, TEXTS),
    st.builds(":{}".format, TEXTS),  # a comment
    st.builds("{}: {}".format, st.sampled_from(["event", "id", "retry", "Data", "data "]), TEXTS),
    st.just("data"),
    st.just(""),
    st.just(""),
    TEXTS,
)
STREAMS = st.tuples(
    st.sampled_from(["", "\ufeff"]), st.lists(st.tuples(LINES, LINE_ENDS).map("".join), max_size=10)
).map(lambda parts: (parts[0] + "".join(parts[1])).encode())


def as_the_standard_says(stream: bytes) -> list[bytes]:
    """Return the data of a stream's events: line by line, as WHATWG HTML tells it; an event without data says nothing.

    What comes after the last blank line, which a browser throws away, counts as an event too.
    """
    told: list[str] = []
    lines: list[str] = []
    for line in [*re.split("\r\n|\n|\r", stream.decode().removeprefix("\ufeff")), ""]:
        name, _, value = line.partition(":")
        if name == "data":
            lines.append(value.removeprefix(" "))
        if line == "":
            told.append("\n".join(lines))
            lines = []
    return [data.encode() for data in told if data]


def data_in(events: list[bytes]) -> list[bytes]:
    return [data for data in map(sse.data_of, events) if data]


@PATIENT
@given(STREAMS)
@example(b"data: a\r\n\rdata: b\n\r\n\r\rdata: c\r\r")
@example(b'data: {"a":\r1}\n\n')
def test_a_stream_says_what_the_standard_says_wherever_it_is_split(stream: bytes) -> None:
    whole = split([stream])
    assert data_in(whole) == as_the_standard_says(stream)
    assert b"".join(whole) == stream
    for position in range(len(stream) + 1):
        assert split([stream[:position], stream[position:]]) == whole


@PATIENT
@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_may_come_in_any_pieces(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert split([stream[a:b] for a, b in pairwise(places)]) == split([stream])
    assert split([stream[i : i + 1] for i in range(len(stream))]) == split([stream])


@PATIENT
@given(st.integers(1, 70_000), st.integers(1, 9_000), LINE_ENDS)
def test_long_lines(length: int, piece: int, end: str) -> None:
    said = ("é" * length).encode()
    stream = b"data: " + said + (end * 2).encode() + b": ping\n\n"
    events = split([stream[at : at + piece] for at in range(0, len(stream), piece)])
    assert data_in(events) == [said]
    assert b"".join(events) == stream


def test_a_long_event_costs_no_more_for_coming_in_pieces() -> None:
    """Looking through all that came before, at each piece, took half a minute of the worker's time."""
    stream = b'data: "' + b"x" * (sse.MAX_EVENT_BYTES - 100) + b'"\n\n'
    began = time.process_time()
    (event,) = split([stream[at : at + 1400] for at in range(0, len(stream), 1400)])
    assert time.process_time() - began < 2
    assert event == stream


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8), st.data())
def test_what_is_written_is_read(lines: list[str], data: st.DataObject) -> None:
    stream = b"".join(sse.event(line.encode()) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [sse.data_of(event).decode() for event in split(pieces)] == lines
