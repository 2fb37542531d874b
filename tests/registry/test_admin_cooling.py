"""The list of models says which are not called for now, and why."""

import re
from pathlib import Path

import pytest
import requests
from django.contrib.admin import site
from django.urls import reverse

from registry.board import board
from registry.keeper import SnapshotUnavailable
from registry.models import Model, Provider
from registry.snapshot import Snapshot, keeper
from tests.server import Gateway, model, wait_for

LIST = reverse("admin:registry_model_changelist")
# What another process of the same installation does: it lets a model cool, and makes an account to look with.
ELSEWHERE = """
from django.contrib.auth.models import User
from registry.board import board
from registry.cooling import Reason
from registry.snapshot import keeper
User.objects.create_superuser("admin", password="secret")
facts = next(each for each in keeper.current().models if each.id == "resting")
board.say(Reason.RATE_LIMIT, facts, seconds=60, until=board.clock() + 60)
board.exchange()
"""


def test_it_works(tmp_path: Path) -> None:
    config = {
        "providers": [{"name": "echo", "type": "echo"}],
        "models": [model("resting", "echo"), model("ready", "echo")],
    }
    with Gateway(tmp_path, config, WEB_CONCURRENCY="2") as gateway, requests.Session() as browser:
        done = gateway.run("shell", "--no-imports", "-c", ELSEWHERE)
        assert done.returncode == 0, done.stderr
        browser.get(f"{gateway.url}/admin/login/")
        form = {"username": "admin", "password": "secret", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post(f"{gateway.url}/admin/login/?next={LIST}", data=form, timeout=10).ok
        told = ["-", "rate limit until hh:mm:ss UTC"]
        assert wait_for(lambda: all(cells(gateway, browser) == told for _ in range(6)))


def cells(gateway: Gateway, browser: requests.Session) -> list[str]:
    """What the list says of each model, in its order; a new connection may lead to another worker."""
    page = requests.get(f"{gateway.url}{LIST}", cookies=browser.cookies, timeout=10).text
    told = re.findall(r'class="field-cooling">([^<]*)</td>', page)
    return [re.sub(r"\d\d:\d\d:\d\d", "hh:mm:ss", cell) for cell in told]


@pytest.mark.django_db
@pytest.mark.parametrize("known", [Snapshot(1, ()), SnapshotUnavailable("no picture")])
def test_a_model_that_is_not_in_the_picture_breaks_no_page(
    known: Snapshot | SnapshotUnavailable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been added, or be faulty, while its provider cools."""

    def current() -> Snapshot:
        if isinstance(known, SnapshotUnavailable):
            raise known
        return known

    monkeypatch.setattr(board, "knows", lambda *_: True)
    monkeypatch.setattr(keeper, "current", current)
    row = Model(pk=1, public_id="new", provider=Provider(pk=1, name="p"))
    assert site.get_model_admin(Model).cooling(row) in {"", "unknown"}  # type: ignore[attr-defined]  # a column of ours
