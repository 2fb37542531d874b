"""Of all who come with an idempotency key one is at work on it, its answer is kept for a day, and no longer."""

import pytest
from django.db import DatabaseError, connection

from accounts import repeats
from accounts.ledger import Ledger
from accounts.models import KeptAnswer
from accounts.repeats import KEPT_SECONDS, LEASE_SECONDS, Answer, KeyReused, Repeats, Wanted
from vault.crypto import Ring, Unopenable, generate_key
from vault.rotation import rotate

NOW = 1_000_000.0
TOLD = Answer(200, {"x-tokenhub-model": "m"}, '{"said":"é canary"}'.encode())

pytestmark = pytest.mark.django_db


def wanted(request_id: str = "req_1", *, owner: int = 0, key: str = "k", body: bytes = b"{}") -> Wanted:
    """A request under a key."""
    return Wanted(owner, key, request_id, "/v1/chat/completions", body)


def test_it_works() -> None:
    first = repeats.claim(wanted(), NOW)
    assert first.is_mine
    second = repeats.claim(wanted("req_2"), NOW)
    assert (second.row, second.is_mine, second.answer) == (first.row, False, None)
    assert repeats.keep(first.row, "req_1", TOLD, NOW)
    assert repeats.claim(wanted("req_2"), NOW + KEPT_SECONDS - 1).answer == TOLD


def test_another_request_is_refused_at_work_and_done() -> None:
    first = repeats.claim(wanted(), NOW)
    with pytest.raises(KeyReused):
        repeats.claim(wanted("req_2", body=b"[]"), NOW)
    repeats.keep(first.row, "req_1", TOLD, NOW)
    with pytest.raises(KeyReused):
        repeats.claim(Wanted(0, "k", "req_3", "/v1/messages", b"{}"), NOW)


def test_keys_of_others_are_others() -> None:
    assert len({repeats.claim(wanted(f"req_{owner}", owner=owner), NOW).row for owner in range(3)}) == 3
    assert repeats.claim(wanted("req_9", key="K"), NOW).is_mine


def test_a_freed_key_is_as_new() -> None:
    first = repeats.claim(wanted(), NOW)
    repeats.free(first.row, "req_2")  # not its to free
    assert KeptAnswer.objects.exists()
    repeats.free(first.row, "req_1")
    assert repeats.claim(wanted("req_2", body=b"[]"), NOW).is_mine


def test_the_next_takes_over_when_the_lease_is_over() -> None:
    first = repeats.claim(wanted(), NOW)
    repeats.renew({first.row: "req_1"}, NOW + 10)
    assert not repeats.claim(wanted("req_2"), NOW + LEASE_SECONDS + 1).is_mine
    later = NOW + 10 + LEASE_SECONDS + 1
    assert repeats.claim(wanted("req_2"), later).is_mine
    assert not repeats.claim(wanted("req_3"), later).is_mine
    assert not repeats.keep(first.row, "req_1", TOLD, later)  # a holder that was thought dead
    assert repeats.keep(first.row, "req_2", TOLD, later)


def test_an_answer_is_kept_for_a_day() -> None:
    first = repeats.claim(wanted(), NOW)
    repeats.keep(first.row, "req_1", TOLD, NOW + 5)
    assert repeats.sweep(NOW + KEPT_SECONDS) == 0
    assert repeats.claim(wanted("req_2", body=b"[]"), NOW + 5 + KEPT_SECONDS).is_mine
    assert repeats.sweep(NOW + 3 * KEPT_SECONDS) == 1


def test_the_ledger_sweeps() -> None:
    repeats.claim(wanted(), NOW)  # which is long ago
    Ledger().move()
    assert not KeptAnswer.objects.exists()


def test_what_is_kept_is_sealed_and_sealed_again() -> None:
    first = repeats.claim(wanted(), NOW)
    repeats.keep(first.row, "req_1", TOLD, NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_keptanswer")
        assert "canary" not in str(cursor.fetchall())
    ring = Ring.parse(f"{generate_key()},dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=")
    assert sum(batch.resealed for batch in rotate(ring, batch_size=10)) >= 1
    with pytest.raises(Unopenable):
        repeats.claim(wanted("req_2"), NOW)  # by a worker that does not have the new key


def test_a_worker_holds_what_it_takes_and_sees_what_others_hold() -> None:
    here, there = Repeats(), Repeats()
    place = here.claim(wanted())
    assert not there.claim(wanted("req_2")).is_mine
    there.awaited(place.row, 1)
    assert there.is_under_way(place.row)
    here.renew()
    here.settle(place.row, TOLD)
    there.awaited(place.row, 1)  # who comes now sees it at once
    assert not there.is_under_way(place.row)
    assert there.claim(wanted("req_2")).answer == TOLD
    here.renew()


@pytest.mark.django_db(transaction=True)
def test_an_outage_is_told_to_who_asks_and_to_no_poll() -> None:
    here = Repeats()
    place = here.claim(wanted())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_keptanswer RENAME TO away")
    here.renew()
    with pytest.raises(DatabaseError):
        here.settle(place.row, TOLD)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO accounts_keptanswer")
