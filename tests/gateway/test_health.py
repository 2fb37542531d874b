"""Health says that the process lives; readiness says whether requests may come, and why not."""

import time
from pathlib import Path

import pytest
from django.test import Client

from accounts.ledger import ledger
from accounts.models import Pepper
from accounts.picture import OPEN
from accounts.picture import keeper as accounts
from gateway.throttling import throttle
from registry.models import Model, Provider
from registry.polling import Poll
from registry.snapshot import keeper as registry
from tests.accounts.rows import a_key
from tests.server import Gateway, model
from vault.models import KeyCheck

READY = {"status": "ready", "reasons": []}


def serving() -> None:
    echo = Provider.objects.create(name="echo", type="echo")
    Model.objects.create(public_id="m", name="m", provider=echo, context_size=100)


@pytest.mark.django_db
def test_it_works(client: Client) -> None:
    serving()
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, READY | {"notes": [f"accounts: {OPEN}"]})
    for path in ("/health", "/health/live"):
        assert client.get(path).json() == {"status": "healthy"}


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_it_is_only_looked_at(client: Client, path: str) -> None:
    answer = client.post(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db
def test_nothing_is_to_be_noted_once_there_is_a_key(client: Client) -> None:
    serving()
    a_key()
    assert client.get("/health/ready").json() == READY | {"notes": []}


@pytest.mark.django_db
def test_keys_that_cannot_be_checked_are_told(client: Client) -> None:
    serving()
    a_key()
    Pepper.objects.all().delete()
    Pepper.objects.create(value="no hex at all")
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["reasons"][0].startswith("accounts: the pepper of the client keys")


@pytest.mark.django_db
def test_limits_that_cannot_be_checked_are_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    serving()
    a_key()
    monkeypatch.setattr(throttle, "_away_until", time.monotonic() + 60)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["reasons"] == ["limits: cannot be checked, and the door is open"]


@pytest.mark.django_db
def test_a_full_disk_is_told_with_what_it_cost(client: Client) -> None:
    serving()
    ledger.spool.fault, ledger.spool.dropped = "No space left on device", 3
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["ledger: calls cannot be written down: No space left on device, and 3 are lost"]


@pytest.mark.django_db
def test_without_a_model_nothing_is_ready(client: Client) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reasons": ["registry: no model can be called"], "notes": []}


@pytest.mark.django_db
def test_another_key_is_told_by_its_id(client: Client) -> None:
    serving()
    KeyCheck.objects.create(key_id="0badc0de", value="0" * 32)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "0badc0de" in answer.json()["reasons"][0]


def test_a_lost_database_is_told_while_requests_flow(tmp_path: Path) -> None:
    config = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("m", "echo")]}
    with Gateway(tmp_path, config) as gateway:
        assert gateway.post().ok
        database = tmp_path / "var" / "tokenhub.sqlite3"
        for file in database.parent.glob(f"{database.name}*"):
            file.unlink()
        database.mkdir()
        answer = gateway.session.get(f"{gateway.url}/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"][0].startswith("database")
        assert gateway.post().ok
        excused = gateway.session.get(f"{gateway.url}/health/ready", params={"exclude": "database"})
        assert (excused.status_code, excused.json()["status"]) == (200, "degraded")
        assert excused.json()["reasons"][0].startswith("database")


@pytest.mark.django_db
def test_pictures_that_an_outage_left_old_are_excused_when_it_is_over(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving()
    for each in (registry, accounts):
        each.refresh()
        monkeypatch.setattr(each, "_looked_at", each._looked_at - 60)
    monkeypatch.setattr(Poll, "is_running", True)  # or else each request would look
    assert client.get("/health/ready").status_code == 503
    answer = client.get("/health/ready?exclude=database")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert [reason.split(":")[0] for reason in answer.json()["reasons"]] == ["registry", "accounts"]


@pytest.mark.django_db
def test_what_is_a_gateways_own_is_excused_by_nothing(client: Client) -> None:
    KeyCheck.objects.create(key_id="0badc0de", value="0" * 32)
    answer = client.get("/health/ready?exclude=database")
    assert answer.status_code == 503
    assert "0badc0de" in answer.json()["reasons"][0]
    assert "registry: no model can be called" in answer.json()["reasons"]
