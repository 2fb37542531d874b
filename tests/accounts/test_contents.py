"""Prompts and answers wait in bounded memory, rest sealed, are read by few, and go after their days."""

import logging
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import DataError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import contents as store
from accounts import pruning
from accounts.contents import Content, Contents, begin
from accounts.ledger import book
from accounts.models import ApiKey, Call, CallContent
from accounts.picture import read_picture
from tests.accounts.entries import a_call
from tests.accounts.rows import a_key, a_team
from tests.vault.rows import a_ring, joined
from vault import keycheck
from vault.crypto import Unopenable
from vault.fields import Sealed
from vault.inventory import everything, keys_in_use

pytestmark = pytest.mark.django_db

SAID, TOLD = "canary <b>said</b> ü", "canary & told"


def a_content(request_id: str = "req_1", *, days: float = 0, said: str = SAID, told: str = TOLD) -> Content:
    """The content of a call that began so many days ago."""
    content = begin(request_id, (timezone.now() - timedelta(days=days)).timestamp(), said.encode())
    content.hear(told.encode())
    return content


def stored(*contents: Content) -> None:
    """Store contents as a worker does."""
    worker = Contents()
    for content in contents:
        worker.keep(content)
    worker.move()


def reader(*codenames: str, leads: bool = True) -> Client:
    """The browser of somebody of the staff with these permissions, who leads the team search."""
    user = User.objects.create_user(f"reader{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    if leads:
        a_team().leads.add(user)
    client = Client()
    client.force_login(user)
    return client


def page(request_id: str = "req_1", *, content: bool = True) -> str:
    """The address of the page of a call."""
    address = reverse("admin:accounts_call_change", args=[Call.objects.get(request_id=request_id).pk])
    return address + ("?content=1" if content else "")


def test_it_works() -> None:
    stored(a_content())
    row = CallContent.objects.get()
    assert (row.request, row.answer, row.truncated) == (SAID, TOLD, False)
    assert (row.request_bytes, row.answer_bytes) == (len(SAID.encode()), len(TOLD))
    with connection.cursor() as cursor:
        cursor.execute("SELECT request, answer FROM accounts_callcontent")
        ((request, answer),) = cursor.fetchall()
    assert request.startswith("v1.")
    assert answer.startswith("v1.")


def test_a_content_opens_in_no_other_row() -> None:
    stored(a_content("req_1"), a_content("req_2"))
    sealed = CallContent.objects.values_list("answer", flat=True).get(pk="req_1")
    CallContent.objects.filter(pk="req_2").update(answer=Sealed(sealed))
    with pytest.raises(Unopenable):
        _ = CallContent.objects.get(pk="req_2").answer


@pytest.mark.parametrize(
    ("said", "told", "kept", "is_cut"),
    [
        ("12345678", "1234", ("12345678", "1234"), False),
        ("123456789", "", ("12345678", ""), True),
        ("", "123456789", ("", "12345678"), True),
        ("1234567ü", "", ("1234567\\xc3", ""), True),
    ],
)
def test_what_is_too_long_is_cut(settings: Any, said: str, told: str, kept: tuple[str, str], *, is_cut: bool) -> None:
    settings.TOKENHUB_CONTENT_MAX_BYTES = 8
    content = begin("req_1", 0.0, said.encode())
    for letter in told:
        content.hear(letter.encode())
    assert len(content.request) <= 8
    assert len(content.answer) <= 8
    stored(content)
    row = CallContent.objects.get()
    assert ((row.request, row.answer), row.truncated) == (kept, is_cut)
    assert (row.request_bytes, row.answer_bytes) == (len(said.encode()), len(told))


def test_an_outage_loses_nothing_until_too_much_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(batch: list[Content]) -> None:
        raise OperationalError("the database is away")

    worker = Contents()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(store, "write", away)
        patch.setattr(store, "MOST_WAITING_BYTES", 3 * a_content().size)
        for number in range(6):
            worker.keep(a_content(f"req_{number}"))
            worker.move()
    assert worker.dropped == 3
    assert sorted(record.levelname for record in caplog.records) == ["ERROR", "WARNING"]
    assert "canary" not in caplog.text
    worker.move()
    assert set(CallContent.objects.values_list("pk", flat=True)) == {"req_0", "req_1", "req_2"}
    worker.keep(a_content("req_6"))
    worker.move()
    assert CallContent.objects.count() == 4


def test_what_no_database_takes_keeps_nothing_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(batch: list[Content]) -> None:
        raise DataError

    worker = Contents()
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", refuse)
        worker.keep(a_content("req_1"))
        worker.move()
    worker.keep(a_content("req_2"))
    worker.finish()
    assert (worker.dropped, CallContent.objects.get().pk) == (1, "req_2")


def test_a_content_is_stored_once() -> None:
    stored(a_content(), a_content("req_2"))
    stored(a_content(told="again"))
    assert CallContent.objects.get(pk="req_1").answer == TOLD


@pytest.mark.parametrize(
    ("calls", "own", "left"), [(0, 30, {"29"}), (90, 30, {"29"}), (7, 30, set()), (0, 365, {"29", "31"})]
)
def test_workers_delete_what_is_old(settings: Any, calls: int, own: int, left: set[str]) -> None:
    settings.TOKENHUB_KEEP_CALLS_DAYS, settings.TOKENHUB_KEEP_CONTENT_DAYS = calls, own
    stored(a_content("29", days=29), a_content("31", days=31))
    assert pruning.prune_as_configured() is False
    assert set(CallContent.objects.values_list("pk", flat=True)) == left


def test_there_may_be_more_to_delete(settings: Any) -> None:
    stored(*(a_content(f"req_{number}", days=31) for number in range(pruning.CONTENT_BATCH + 1)))
    assert pruning.prune_as_configured() is True
    assert CallContent.objects.count() == 1
    assert pruning.prune_as_configured() is False
    assert not CallContent.objects.exists()


@pytest.mark.parametrize(("age", "left"), [("90d", {"29"}), ("7d", {"1"})])
def test_the_command_deletes_what_is_old(age: str, left: set[str]) -> None:
    stored(*(a_content(str(days), days=days) for days in ({29, 31} if age == "90d" else {1, 29})))
    told = StringIO()
    call_command("prunecalls", "--older-than", age, "--dry-run", stdout=told)
    assert "Prompts and answers of 1 calls are old enough" in told.getvalue()
    assert CallContent.objects.count() == 2
    call_command("prunecalls", "--older-than", age, stdout=told)
    assert told.getvalue().endswith("Prompts and answers of 1 calls were deleted.\n")
    assert set(CallContent.objects.values_list("pk", flat=True)) == left


def test_a_rotation_covers_it(settings: Any) -> None:
    old, new = a_ring(), a_ring()
    settings.TOKENHUB_KEY_RING = old
    keycheck.register(old)
    stored(*(a_content(f"req_{number}") for number in range(25)))
    settings.TOKENHUB_KEY_RING = joined(new, old)
    told = StringIO()
    call_command("rotatekeys", stdout=told)
    assert f"Key {old.primary} is not needed any more" in told.getvalue()
    settings.TOKENHUB_KEY_RING = new
    assert keys_in_use() == {new.primary: 50}
    assert {(row.request, row.answer) for row in CallContent.objects.all()} == {(SAID, TOLD)}


def test_a_page_shows_it_and_writes_down_who_read_it(admin_client: Client) -> None:
    book([a_call()])
    stored(a_content())
    closed = admin_client.get(page(content=False)).content.decode()
    assert "?content=1" in closed
    assert "canary" not in closed
    assert not LogEntry.objects.exists()
    shown = admin_client.get(page())
    html = shown.content.decode()
    assert "canary &lt;b&gt;said&lt;/b&gt; ü</pre>" in html
    assert "canary &amp; told</pre>" in html
    assert "no-store" in shown["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_repr) == ("admin", str(Call.objects.get()))
    history = reverse("admin:accounts_call_history", args=[Call.objects.get().pk])
    assert "Read the prompt and the answer." in admin_client.get(history).content.decode()


def test_a_page_says_what_is_missing(admin_client: Client) -> None:
    book([a_call("req_1"), a_call("req_2")])
    stored(a_content("req_2"))
    CallContent.objects.filter(pk="req_2").update(answer=Sealed("v1.00000000.AAAA"), truncated=True)
    assert "Nothing is kept of this call" in admin_client.get(page()).content.decode()
    html = admin_client.get(page("req_2")).content.decode()
    assert "It cannot be opened" in html
    assert "cut off" in html


def test_nobody_reads_without_the_permission(admin_client: Client) -> None:
    team = a_team("search")
    book([a_call("req_1", team=team.pk)])
    stored(a_content())
    for codenames in (("view_call",), ("view_call", "all_teams"), ("view_call", "all_teams", "change_call")):
        html = reader(*codenames, leads=False).get(page()).content.decode()
        assert "canary" not in html
        assert "Prompt and answer" not in html
    assert reader("view_content", "all_teams", leads=False).get(page()).status_code == 403
    assert not LogEntry.objects.exists()
    for address in (reverse("admin:accounts_call_changelist"), reverse("admin:accounts_spend_changelist")):
        assert "canary" not in admin_client.get(address).content.decode()


def test_leads_read_what_their_own_teams_said() -> None:
    lead = reader("view_call", "view_content")
    ours, theirs = User.objects.get().led_teams.get(), a_team("ads")
    book([a_call("req_1", team=ours.pk), a_call("req_2", team=theirs.pk), a_call("req_3")])
    stored(*(a_content(f"req_{number}") for number in (1, 2, 3)))
    assert "canary" in lead.get(page("req_1")).content.decode()
    for request_id in ("req_2", "req_3"):
        refused = lead.get(page(request_id))
        assert (refused.status_code, b"canary" in refused.content) == (302, False)
    assert LogEntry.objects.count() == 1


def test_the_switch_is_in_the_picture_and_in_the_history(admin_client: Client) -> None:
    key, _ = a_key()
    assert read_picture()[0].keys[key.public_id].log_content is False
    html = admin_client.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert "They are never stored unless this is on" in html
    key.log_content = True
    key.save()
    assert read_picture()[0].keys[key.public_id].log_content is True
    assert [old.log_content for old in ApiKey.history.filter(id=key.pk)] == [True, False]


def test_createkey_has_the_switch() -> None:
    call_command("createkey", "--name", "logged", "--log-content", stdout=StringIO())
    call_command("createkey", "--name", "other", stdout=StringIO())
    assert dict(ApiKey.objects.values_list("name", "log_content")) == {"logged": True, "other": False}


def test_no_start_opens_them_all(settings: Any) -> None:
    settings.TOKENHUB_KEY_RING = ring = a_ring()
    keycheck.register(ring)
    stored(a_content())
    CallContent.objects.update(answer=Sealed(f"v1.{ring.primary}.AAAA"))
    assert [str(resting.pk) for resting in everything(with_bulk=False)] == []
    assert len(list(everything())) == 2
    assert keys_in_use() == {ring.primary: 2}
    with CaptureQueriesContext(connection) as seen:
        keycheck.register(ring)
    assert "accounts_callcontent" not in " ".join(query["sql"] for query in seen)
