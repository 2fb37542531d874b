"""The books have every call once, with its attempts, its prices and what its day cost."""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from accounts import audit, budgets, spool
from accounts.ledger import Ledger, book
from accounts.models import Attempt, Budget, Call, Price, Spend
from accounts.picture import read_picture
from accounts.spool import Spool
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    """Where the spool of this test is."""
    settings.TOKENHUB_DATA_DIR = tmp_path
    return tmp_path / "spool"


def test_it_works() -> None:
    key, _ = a_key(team=a_team())
    failed = an_attempt(status=503, error="provider_unavailable", uncached=0, output=0, cost_micro=0, model="best")
    made = an_attempt(cache_read=3, reasoning=2, estimated=True, dropped=("n", "seed"))
    entry = a_call("req_1", failed, made, key=key.pk, team=key.team_id, session="s", user="u", decisions=({"x": 1},))
    assert book([entry]) == 1
    call = Call.objects.get()
    assert (call.request_id, call.at) == ("req_1", datetime.fromtimestamp(entry.at, UTC))
    assert (call.key, call.team, call.session, call.user) == (key, key.team, "s", "u")
    assert (call.model, call.provider, call.attempt_count, call.ttft_ms) == ("small", "echo", 2, 3.5)
    assert (call.input, call.output, call.reasoning, call.cost_micro, call.estimated) == (13, 5, 2, 30, True)
    assert call.decisions == '[{"x":1}]'
    first, second = call.attempts.all()
    assert (first.number, first.model, first.status, first.error) == (1, "best", 503, "provider_unavailable")
    assert (second.number, second.dropped, second.price and second.price.input) == (2, "n,seed", 2_000_000)
    spent = Spend.objects.get(model="small")
    assert (spent.day, spent.key_pk, spent.team_pk) == (date(2026, 11, 25), key.pk, key.team_id)
    assert (spent.attempts, spent.failed, spent.cost_micro, spent.output) == (1, 0, 30, 5)
    assert Spend.objects.get(model="best").failed == 1


def test_a_call_is_booked_once_however_often_it_is_told() -> None:
    entries = [a_call("req_1"), a_call("req_2")]
    assert book([*entries, entries[0]]) == 2
    assert book(entries) == 0
    assert book([*entries, a_call("req_3")]) == 1
    assert (Call.objects.count(), Attempt.objects.count()) == (3, 3)
    assert Spend.objects.get().cost_micro == 90


def test_a_call_without_an_attempt_is_booked_too() -> None:
    refused = a_call(status=404, error="model_not_found", attempts=())
    book([refused])
    call = Call.objects.get()
    assert (call.status, call.error, call.model, call.cost_micro, call.attempt_count) == (
        404,
        "model_not_found",
        "",
        0,
        0,
    )
    assert not Spend.objects.exists()


def test_the_answer_that_was_cut_off_is_a_partial_one() -> None:
    book([a_call("req_1", an_attempt(status=499, error="caller_left", output=2, estimated=True), status=499)])
    assert (Call.objects.get().estimated, Spend.objects.get().failed, Spend.objects.get().output) == (True, 1, 2)


def test_a_price_that_changed_leaves_the_past() -> None:
    book([a_call("req_1", at=1_795_600_000.0)])
    dearer = an_attempt(prices=(9_000_000, 1, 2, 3, 4), cost_micro=90)
    book([a_call("req_2", dearer, at=1_795_700_000.0), a_call("req_3", dearer, at=1_795_800_000.0)])
    old, new = Price.objects.order_by("since")
    assert (old.input, new.input) == (2_000_000, 9_000_000)
    assert new.since == datetime.fromtimestamp(1_795_700_000.0, UTC)
    assert [each.price_id for each in Attempt.objects.order_by("call_id")] == [old.pk, new.pk, new.pk]
    assert list(Spend.objects.order_by("day").values_list("cost_micro", flat=True)) == [30, 90, 90]


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "ü" * 300])
def test_whatever_a_caller_or_a_provider_says_can_be_booked(text: str) -> None:
    odd = an_attempt(reason=text, error=text, phase=text, dropped=(text,), uncached=10**12, cost_micro=2**62)
    book(
        [
            a_call(
                "req_1", odd, asked=text, session=text, user=text, endpoint=text, error=text, decisions=({text: text},)
            )
        ]
    )
    assert "\0" not in Call.objects.get().asked + Attempt.objects.get().reason


def test_what_no_database_takes_keeps_no_other_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    owed = Ledger()
    poison = an_attempt(model="x" * 201 if connection.vendor == "postgresql" else "x", cost_micro=-1)
    for entry in (a_call("req_1"), a_call("req_2", poison), a_call("req_3")):
        owed.spool.append(entry)
    owed.move()
    assert set(Call.objects.values_list("request_id", flat=True)) == {"req_1", "req_3"}
    assert [entry.id for entry in spool.read(folder / "unbookable.jsonl")] == ["req_2"]
    assert "req_2 cannot be booked" in caplog.text
    assert Spend.objects.get().cost_micro == 60
    owed.finish()
    assert spool.left_behind(folder) == []


def test_a_ledger_moves_what_waits(folder: Path) -> None:
    owed = Ledger()
    for number in range(1200):
        owed.spool.append(a_call(f"req_{number}"))
    owed.move()
    assert (Call.objects.count(), owed.spool.depth, owed.outage) == (1200, 0, "")
    owed.finish()
    assert spool.left_behind(folder) == []


def test_what_a_dead_worker_left_is_booked(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    dead = Spool(folder)
    dead.append(a_call("req_1"))
    dead.append(a_call("req_2", is_final=False))
    dead.append(a_call("req_3"))
    book([a_call("req_1")])  # it died between the books and the spool
    dead.close()
    Ledger().move()
    assert Call.objects.count() == 3
    assert Spend.objects.get().cost_micro == 90
    assert "2 calls were booked that a worker had left behind" in caplog.text
    assert spool.left_behind(folder) == []


def test_the_last_word_on_a_call_counts_in_whichever_file_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 1)
    dead = Spool(folder)
    dead.append(a_call("req_1", an_attempt(output=1), is_final=False))
    dead.append(a_call("req_1", an_attempt(output=2), status=499))
    dead.close()
    assert len(spool.left_behind(folder)) == 2
    Ledger().move()
    call = Call.objects.get()
    assert (call.status, call.output) == (499, 2)
    assert spool.left_behind(folder) == []


def test_what_cannot_be_read_keeps_nothing_else_from_the_books(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    dead = Spool(folder)
    dead.append(a_call("req_1"))
    (file,) = spool.left_behind(folder)
    dead.close()
    with file.open("ab") as end:
        end.write(b"no call\n")
    (folder / "1-1.spool").mkdir()
    owed = Ledger()
    owed.adopt()
    owed.adopt()
    assert [call.request_id for call in Call.objects.all()] == ["req_1"]
    assert caplog.text.count("1-1.spool: Is a directory") == 1
    assert (folder / "unbookable.jsonl").read_bytes() == b"no call\n"
    told = [each.text for each in audit.differences(repair=False, now=0.0)]
    assert any("cannot be read: 1-1.spool: Is a directory" in text for text in told)


def test_calls_so_old_that_they_may_have_been_deleted_are_not_booked_again(folder: Path, settings: Any) -> None:
    settings.TOKENHUB_KEEP_CALLS_DAYS = 1
    dead = Spool(folder)
    dead.append(a_call("req_old", at=time.time() - 2 * 86_400))
    dead.append(a_call("req_new", at=time.time()))
    dead.close()
    Ledger().adopt()
    assert [call.request_id for call in Call.objects.all()] == ["req_new"]
    assert b"req_old" in (folder / "unbookable.jsonl").read_bytes()


def test_what_a_living_worker_writes_is_its_own(folder: Path) -> None:
    living = Spool(folder)
    living.append(a_call("req_1", is_final=False))
    Ledger().move()
    assert not Call.objects.exists()
    living.close()


@pytest.mark.django_db(transaction=True)
def test_an_outage_costs_nothing_but_time(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    owed = Ledger()
    owed.spool.append(a_call("req_1"))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_spend RENAME TO away")
    owed.move()
    owed.move()
    assert "spend" in owed.outage
    assert (Call.objects.count(), owed.spool.depth) == (0, 1)
    assert caplog.text.count("cannot be booked") == 1
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO accounts_spend")
    owed.move()
    assert (Call.objects.count(), owed.spool.depth, owed.outage) == (1, 0, "")
    owed.finish()


def test_an_outage_at_the_end_leaves_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(entries: Any) -> int:
        raise DatabaseError("away")

    owed = Ledger()
    owed.spool.append(a_call("req_1"))
    monkeypatch.setattr("accounts.ledger.book", away)
    owed.finish()
    (file,) = spool.left_behind(settings.TOKENHUB_DATA_DIR / "spool")
    assert [entry.id for entry in spool.read(file)] == ["req_1"]


def test_what_overflowed_is_booked_while_a_call_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MOST_WAITING", 10)
    owed = Ledger()
    owed.spool.append(a_call("req_under_way", is_final=False))
    for number in range(1200):
        owed.spool.append(a_call(f"req_{number}"))
    owed.move()
    assert Call.objects.count() == 1200
    owed.finish()


def test_a_budget_that_was_deleted_binds_nobody() -> None:
    key, _ = a_key()
    budget = Budget.objects.create(key=key, period="daily", amount_micro=1)
    owed = read_picture()[0].keys[key.public_id].budgets
    budget.delete()
    budgets.reserve("req_1", owed, 100, 1_795_600_000.0)
    assert book([a_call("req_1", key=key.pk)]) == 1
