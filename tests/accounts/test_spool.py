"""What a worker wrote down is there for whoever comes after it, whatever became of the worker and the disk."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import spool
from accounts.entries import CallEntry, Unreadable
from accounts.spool import Spool
from tests.accounts.entries import a_call, an_attempt


@pytest.fixture
def written(tmp_path: Path) -> Spool:
    """A spool in an empty folder."""
    return Spool(tmp_path / "spool")


def files(folder: Path) -> list[Path]:
    """The files of a spool."""
    return spool.left_behind(folder / "spool")


def test_it_works(written: Spool, tmp_path: Path) -> None:
    entries = [a_call(f"req_{number}", key=number) for number in range(3)]
    for entry in entries:
        written.append(entry)
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.line() for entry in spool.read(file)] == [entry.line() for entry in entries]
    assert written.take(10) == entries
    written.booked(entries)
    written.close()
    assert files(tmp_path) == []


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.floats(0, 1e12), st.integers(0, 2**60))
def test_a_line_says_what_the_entry_says(text: str, ms: float, tokens: int) -> None:
    entry = a_call("req_1", an_attempt(reason=text, uncached=tokens, dropped=(text,)), an_attempt(), user=text, ms=ms)
    line = entry.line()
    assert line.count(b"\n") == 1
    told = CallEntry.read(line)
    assert told.line() == line
    assert (told.user, told.ms, told.attempts[0].uncached, told.attempts[0].reason) == (text, ms, tokens, text)


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"[]", b"1", b'"x"', b"{}", b'{"v":1}', b'{"v":1,"call":{}}', b'{"v":1,"call":[]}', b"\xff\xfe"),
        *(b'{"v":2,"call":{}}', a_call().line()[:-20], a_call().line().replace(b'"attempts":[', b'"attempts":[1,')),
    ],
)
def test_what_is_no_entry_is_told(line: bytes) -> None:
    with pytest.raises(Unreadable):
        CallEntry.read(line)


def test_what_is_said_before_the_end_stands_if_nothing_follows(written: Spool, tmp_path: Path) -> None:
    written.append(a_call("req_1", is_final=False))
    written.append(a_call("req_2", is_final=False))
    written.append(a_call("req_1", status=499))
    assert [(entry.id, entry.status) for entry in written.take(10)] == [("req_1", 499)]
    (file,) = files(tmp_path)
    assert [(entry.id, entry.status, entry.is_final) for entry in spool.read(file)] == [
        ("req_1", 499, True),
        ("req_2", 200, False),
    ]


def test_a_file_stays_until_all_in_it_is_booked(
    written: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 100)
    first, second, third = (a_call(f"req_{number}") for number in range(3))
    under_way = a_call("req_9", is_final=False)
    for entry in (first, under_way, second, third):
        written.append(entry)
    assert len(files(tmp_path)) == 4
    written.booked([second, third])
    assert len(files(tmp_path)) == 3  # the last is still written to
    written.booked([first])
    assert len(files(tmp_path)) == 2
    written.append(a_call("req_9"))
    written.booked([a_call("req_9")])
    assert len(files(tmp_path)) == 1


def test_a_worker_leaves_what_it_could_not_book(written: Spool, tmp_path: Path) -> None:
    written.append(a_call())
    (file,) = files(tmp_path)
    with spool.held(file) as is_ours:
        assert not is_ours  # while the worker lives
    written.close()
    with spool.held(file) as is_ours:
        assert is_ours
        with spool.held(file) as is_ours_too:
            assert not is_ours_too
    file.unlink()
    with spool.held(file) as is_ours:
        assert not is_ours


def test_torn_lines_hide_no_others(written: Spool, tmp_path: Path) -> None:
    written.append(a_call("req_1"))
    (file,) = files(tmp_path)
    with file.open("ab") as end:
        end.write((torn := a_call("req_2").line()[:50]) + b"\n")
    written.append(a_call("req_3"))
    assert [entry.id for entry in spool.read(file)] == ["req_1", "req_3"]
    assert spool.odd_lines(file) == [torn]


def test_a_full_disk_costs_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = Spool(tmp_path / "spool")
    written.append(a_call("req_1"))
    segment = written._segments[-1]
    good = segment.descriptor
    segment.descriptor = os.open("/dev/full", os.O_WRONLY)
    written.append(a_call("req_2"))
    assert written.fault == "No space left on device"
    assert caplog.text.count("cannot be written") == 1
    os.close(segment.descriptor)
    segment.descriptor = good
    written.append(a_call("req_3"))
    assert written.fault == ""
    assert [entry.id for entry in written.take(10)] == ["req_1", "req_2", "req_3"]
    assert [entry.id for entry in spool.read(segment.path)] == ["req_1", "req_3"]
    assert written.dropped == 0


def test_what_is_being_booked_is_found_until_it_is(written: Spool) -> None:
    written.append(a_call("req_1"))
    taken = written.take(10)
    assert written.find("req_1") == taken[0]
    written.put_back(taken)
    assert written.find("req_1") == taken[0]
    written.booked(written.take(10))
    assert written.find("req_1") is None


def test_a_fault_is_over_when_a_write_would_succeed(tmp_path: Path) -> None:
    way = tmp_path / "spool"
    way.write_text("in the way")
    written = Spool(way)
    written.sync()
    assert written.fault == "File exists"
    way.unlink()
    written.sync()
    assert written.fault == ""
    assert list(way.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    written = Spool(tmp_path / "spool")
    written.append(a_call())
    assert written.fault == "File exists"
    assert written.depth == 1
    written.close()


def test_what_is_too_much_for_the_memory_is_on_disk(written: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MOST_WAITING", 2)
    written.append(a_call("req_under_way", is_final=False))
    for number in range(5):
        written.append(a_call(f"req_{number}"))
    assert written.overdue() == []  # what waits in memory comes first
    taken = written.take(10)
    written.booked(taken)
    assert [entry.id for entry in taken] == ["req_0", "req_1"]
    assert [entry.id for entry in written.overdue()] == ["req_2", "req_3", "req_4"]
    written.booked(written.overdue()[:1])
    assert [entry.id for entry in written.overdue()] == ["req_3", "req_4"]
    written.booked(written.overdue())
    assert written.overdue() == []  # though one call is still under way


def test_an_old_file_is_left_for_a_new_one(written: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.append(a_call("req_1"))
    monkeypatch.setattr(spool, "_SEGMENT_SECONDS", 0.0)
    written.append(a_call("req_2"))
    assert len(files(tmp_path)) == 2
    written.booked([a_call("req_1")])
    assert len(files(tmp_path)) == 1


def test_what_is_neither_written_nor_kept_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MOST_WAITING", 1)
    (tmp_path / "spool").write_text("in the way")
    written = Spool(tmp_path / "spool")
    for number in range(3):
        written.append(a_call(f"req_{number}"))
    assert (written.depth, written.dropped) == (1, 2)


def test_one_who_writes_and_one_who_books_do_not_disturb_each_other(
    written: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 2000)
    booked: list[str] = []
    is_over = threading.Event()

    def keep_booking() -> None:
        while not is_over.is_set() or written.depth:
            entries = written.take(7)
            booked.extend(entry.id for entry in entries)
            written.booked(entries)

    booker = threading.Thread(target=keep_booking)
    booker.start()
    for number in range(1000):
        written.append(a_call(f"req_{number}"))
    is_over.set()
    booker.join()
    assert booked == [f"req_{number}" for number in range(1000)]
    written.close()
    assert files(tmp_path) == []
