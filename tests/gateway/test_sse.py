"""Server-sent events come out whole and unchanged, however they were cut on the way."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Broken
from gateway.wire import sse

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


def seconds(does: Callable[[], object]) -> float:
    began = time.process_time()
    does()
    return time.process_time() - began


@pytest.mark.parametrize("size", [1, 1460])
def test_the_time_of_a_large_event_is_linear(size: int) -> None:
    """An image of some megabytes is one event, and all streams of a worker wait while it is read."""

    def split_one(length: int) -> None:
        stream = b"data: " + b"x" * length + b"\n\n"
        assert split([stream[at : at + size] for at in range(0, len(stream), size)]) == [stream]

    length = 10_000 if size == 1 else 300_000
    once = min(seconds(lambda: split_one(length)) for _ in range(3))
    assert seconds(lambda: split_one(5 * length)) < 12 * once + 0.05


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a"]), max_size=12), st.data())
def test_any_line_ends_at_any_borders(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream)))
    assert split([stream[i : i + 1] for i in range(len(stream))]) == split([stream[:cut], stream[cut:]])


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_nothing_is_lost(pieces: list[bytes]) -> None:
    assert b"".join(split(pieces)) == b"".join(pieces)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8), st.data())
def test_what_is_written_is_read(lines: list[str], data: st.DataObject) -> None:
    stream = b"".join(sse.event(line.encode()) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [sse.data_of(event).decode() for event in split(pieces)] == lines
