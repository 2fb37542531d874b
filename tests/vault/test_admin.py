"""The admin of secrets: a key goes in and is found on no page, in no history, log, mail or dump."""

import re
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import count
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from tests.vault.rows import a_reference, a_ring, a_secret, column, put
from vault.crypto import is_sealed
from vault.models import KeyCheck, Secret
from vault.ring import get_ring

pytestmark = pytest.mark.django_db
CANARY = "sk-canary-0123456789-tail"


@pytest.fixture
def people(client: Client) -> Client:
    """A browser in which an administrator is logged in."""
    client.force_login(User.objects.create_superuser("anna"))
    return client


def page(name: str, *arguments: Any) -> str:
    """The address of a page of the secrets' admin."""
    return reverse(f"admin:vault_secret_{name}", args=arguments)


def form(**fields: str) -> dict[str, str]:
    """What a browser sends."""
    return {"name": "team", "note": "", "key": "", "env_name": "", **fields}


def post(people: Client, address: str, **fields: str) -> str:
    """Send the form and return the page that comes: the list when it was accepted."""
    return people.post(address, form(**fields), follow=True).content.decode()


def errors(text: str) -> list[str]:
    """The errors on a page."""
    return re.findall(r'<ul class="errorlist[^>]*>\s*<li>(.*?)</li>', text)


def stored(people: Client, key: str = CANARY) -> Secret:
    """A secret typed into the admin."""
    post(people, page("add"), key=key)
    return Secret.objects.get()


def while_statements_fail(act: Callable[[], Any]) -> Iterator[Any]:
    """Do something again and again while the database fails at its first statement, its second, and so on."""
    for last in count(1):
        left = iter(range(last))

        def fail(execute: Callable[..., Any], *arguments: Any, left: Iterator[int] = left, last: int = last) -> Any:
            if next(left, None) == last - 1:
                raise OperationalError("gone")
            return execute(*arguments)

        with connection.execute_wrapper(fail):
            answer = act()
        if next(left, None) is not None:
            return
        yield answer


def test_it_works(people: Client) -> None:
    secret = stored(people)
    assert secret.value == CANARY
    assert is_sealed(column(secret))
    listed = people.get(page("changelist")).content.decode()
    assert "••••tail" in listed
    assert get_ring().primary in listed


def test_a_key_is_found_nowhere(people: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = stored(people)
    second = f"{CANARY}-second"
    texts = [
        post(people, page("change", secret.pk), key=second),
        post(people, page("change", secret.pk), key=CANARY, env_name="OPENAI_API_KEY"),
        post(people, page("change", secret.pk), key=CANARY, name=""),
        post(people, page("change", secret.pk), key=f"{CANARY}ü"),
        post(people, page("change", secret.pk), key=f"{second}-continue", _continue="1"),
    ]
    addresses = [page("changelist"), f"{page('changelist')}?q=0123456789", page("add"), reverse("admin:index")]
    addresses += [page(name, secret.pk) for name in ("change", "history", "delete")]
    addresses += [page("simple_history", secret.pk, version.pk) for version in secret.history.all()]
    assert len(addresses) == 10
    texts += [people.get(address, follow=True).content.decode() for address in addresses]
    dump = StringIO()
    call_command("dumpdata", stdout=dump)
    texts += [dump.getvalue(), caplog.text, str([vars(record) for record in caplog.records])]
    texts += [str(LogEntry.objects.values_list("change_message", "object_repr"))]
    texts += [str(list(Secret.history.values())), str(people.session.items())]
    assert [text for text in texts if "canary" in text] == []
    assert Secret.objects.get().value == f"{second}-continue"


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_shows_no_key(
    debug: bool, people: Client, settings: Any, mailoutbox: list[Any], monkeypatch: Any
) -> None:
    secret = stored(people)
    settings.DEBUG, settings.ADMINS = debug, [("Ops", "ops@example.com")]
    settings.TOKENHUB_KEY_RING = None
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    people.raise_request_exception = False
    for address in (page("add"), page("change", secret.pk)):
        answer = people.post(address, form(key=CANARY, name="another"))
        assert answer.status_code == 500
        assert "canary" not in answer.content.decode()
    assert debug == ("KeyProblem" in answer.content.decode())
    assert len(mailoutbox) == (0 if debug else 2)
    assert "canary" not in str([(mail.subject, mail.body, mail.alternatives) for mail in mailoutbox])


@pytest.mark.parametrize("debug", [True, False])
def test_an_outage_at_any_statement_shows_no_key(
    debug: bool, people: Client, settings: Any, mailoutbox: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    secret = stored(people, key="sk-earlier-0123456")
    settings.DEBUG, settings.ADMINS = debug, [("Ops", "ops@example.com")]
    people.raise_request_exception = False
    answers = list(while_statements_fail(lambda: people.post(page("change", secret.pk), form(key=CANARY, name="late"))))
    # where only Django's own look at a constraint fails, it leaves that to the database and saves
    refused = [answer for answer in answers if answer.status_code == 500]
    assert len(refused) >= 10
    assert debug == ("OperationalError" in refused[0].content.decode())
    assert len(mailoutbox) == (0 if debug else len(refused))
    told = [*(answer.content.decode() for answer in answers), *(mail.body for mail in mailoutbox), caplog.text]
    assert [text for text in told if "canary" in text] == []


def test_an_empty_key_keeps_the_stored_one(people: Client) -> None:
    secret = stored(people)
    before = column(secret)
    post(people, page("change", secret.pk), note="rotated on Mondays")
    assert column(secret) == before
    kept = Secret.objects.get()
    assert (kept.note, kept.value, kept.set_at) == ("rotated on Mondays", CANARY, secret.set_at)


def test_a_page_saved_as_it_was_leaves_no_mark(people: Client) -> None:
    secret = stored(people)
    post(people, page("change", secret.pk))
    assert secret.history.count() == 1


def test_a_key_is_replaced_and_history_shows_when(people: Client) -> None:
    first = stored(people)
    post(people, page("change", first.pk), key="sk-another-0123456")
    second = Secret.objects.get()
    assert second.value == "sk-another-0123456"
    assert second.set_at > first.set_at
    post(people, page("change", first.pk), note="rotated on Mondays")
    history = people.get(page("history", first.pk)).content.decode()
    assert re.findall(r"<td>(yes|no)</td>", history) == ["no", "yes", "yes"]
    assert "anna" in history


def test_spaces_around_a_pasted_key_are_no_part_of_it(people: Client) -> None:
    assert stored(people, key=f" {CANARY}\n").value == CANARY


def test_a_variable_takes_the_place_of_a_key_and_back(people: Client) -> None:
    secret = stored(people)
    assert errors(post(people, page("change", secret.pk), env_name="OPENAI_API_KEY")) == []
    assert (Secret.objects.get().value, Secret.objects.get().env_name) == ("", "OPENAI_API_KEY")
    assert "env:OPENAI_API_KEY" in people.get(page("changelist")).content.decode()
    assert errors(post(people, page("change", secret.pk), env_name="ANTHROPIC_API_KEY")) == []
    assert errors(post(people, page("change", secret.pk), key=CANARY)) == []
    assert (Secret.objects.get().value, Secret.objects.get().env_name) == (CANARY, "")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "Give a key, or the name"),
        ({"key": CANARY, "env_name": "OPENAI_API_KEY"}, "not both"),
        ({"key": "schlüssel"}, "one line of ASCII"),
        ({"key": "sk\t0123"}, "one line of ASCII"),
        ({"env_name": "openai"}, "capital letters"),
        ({"env_name": "TOKENHUB_ENCRYPTION_KEY"}, "belongs to the gateway"),
        ({"key": CANARY, "name": "taken"}, "already exists"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, str], fault: str, people: Client) -> None:
    a_secret("taken")
    told = errors(post(people, page("add"), **fields))
    assert len(told) == 1
    assert fault in told[0]
    assert Secret.objects.count() == 1


def test_a_variable_cannot_be_emptied_without_a_key(people: Client) -> None:
    secret = a_reference("team")
    (told,) = errors(post(people, page("change", secret.pk)))
    assert "Give a key" in told
    assert Secret.objects.get().env_name == "OPENAI_API_KEY"


def test_a_secret_that_does_not_open_can_be_seen_and_set_again(people: Client, settings: Any) -> None:
    secret = stored(people)
    settings.TOKENHUB_KEY_RING = a_ring()
    for address in (page("changelist"), page("change", secret.pk)):
        assert "cannot be opened" in people.get(address).content.decode()
    assert errors(post(people, page("change", secret.pk), note="key lost")) == []
    put(secret, CANARY)
    for address in (page("changelist"), page("change", secret.pk)):
        assert "it is not a sealed text" in people.get(address).content.decode()
    assert errors(post(people, page("change", secret.pk), key="sk-another-0123456")) == []
    assert Secret.objects.get().value == "sk-another-0123456"


def test_there_is_no_way_back_to_an_old_version(people: Client) -> None:
    secret = a_reference("team")
    post(people, page("change", secret.pk), key=CANARY)
    old = secret.history.last()
    address = page("simple_history", secret.pk, old.pk)
    shown = people.get(address).content.decode()
    assert "env:OPENAI_API_KEY" in shown
    assert "Revert" not in shown
    assert people.post(address, form(env_name="OPENAI_API_KEY")).status_code == 403
    assert Secret.objects.get().value == CANARY


def test_an_unused_secret_is_deleted(people: Client) -> None:
    secret = stored(people)
    people.post(page("delete", secret.pk), {"post": "yes"})
    assert not Secret.objects.exists()
    assert people.get(page("history", secret.pk)).status_code == 200


def test_who_may_only_look_sees_a_hint(client: Client) -> None:
    secret = a_secret("team", CANARY)
    guest = User.objects.create_user("guest", is_staff=True)
    guest.user_permissions.add(Permission.objects.get(codename="view_secret"))
    client.force_login(guest)
    shown = client.get(page("change", secret.pk)).content.decode()
    assert "••••tail" in shown
    assert "canary" not in shown
    assert client.post(page("change", secret.pk), form(key="sk-another-0123456")).status_code == 403


def test_the_key_check_is_nobody_s_to_edit(people: Client) -> None:
    KeyCheck.objects.create(key_id="0123abcd", value="x")
    assert "keycheck" not in people.get(reverse("admin:index")).content.decode().lower()
