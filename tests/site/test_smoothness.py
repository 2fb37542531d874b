"""Whatever people do in the admin, the streams of the same worker go on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import pytest
import requests

from tests.databases import file_of
from tests.gaps import STEADY, stays_steady
from tests.scripted import ScriptedProvider
from tests.server import Gateway, model

MODELS: Final = 100
LINES: Final = 20_000
ACCOUNT: Final = """
from django.contrib.auth.models import User
User.objects.create_superuser("admin", password="secret")
"""
SPENT: Final = f"""
WITH RECURSIVE line(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM line WHERE number < {LINES})
INSERT INTO accounts_spend (day, key_pk, team_pk, model, provider, attempts, failed, unpriced, uncached, cache_read,
    cache_write, cache_write_1h, output, reasoning, cost_micro)
SELECT date('now'), 0, 0, 'model-' || number, 'p', 1, 0, 0, 10, 0, 0, 0, 10, 0, number FROM line
"""


def log_in(browser: requests.Session, gateway: Gateway, password: str = "secret") -> requests.Response:
    """Send a name with a password, which is hashed whether it is right or not."""
    browser.get(f"{gateway.url}/admin/login/", timeout=30)
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    return browser.post(f"{gateway.url}/admin/login/?next=/admin/", data=form, timeout=30)


@pytest.fixture(scope="module")
def busy(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker with many models and much that was spent."""
    config = {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}],
        "models": [model(f"m-{number}", "p") for number in range(MODELS)],
    }
    with Gateway(tmp_path_factory.mktemp("busy"), config) as gateway:
        with closing(sqlite3.connect(file_of(gateway), timeout=20)) as database, database:
            database.execute(SPENT)
        made = gateway.run("shell", "--no-imports", "-c", ACCOUNT)
        assert made.returncode == 0, made.stderr
        yield gateway


@pytest.fixture
def browser(busy: Gateway) -> Iterator[requests.Session]:
    """Somebody who may see all."""
    with requests.Session() as session:
        assert "log out" in log_in(session, busy).text.lower()
        yield session


def hash_passwords(browser: requests.Session, gateway: Gateway) -> None:
    """Try three passwords."""
    for _ in range(3):
        assert "errornote" in log_in(requests.Session(), gateway, "guessed").text


def export(browser: requests.Session, gateway: Gateway) -> None:
    """Fetch all that was spent, as a table."""
    table = browser.get(f"{gateway.url}/admin/accounts/spend/csv/?by=model", timeout=60)
    assert table.status_code == 200
    assert len(table.text.splitlines()) > LINES


def show_pages(browser: requests.Session, gateway: Gateway) -> None:
    """Look at a long list, each line of which is a form, and at a report that adds up many lines."""
    models = browser.get(f"{gateway.url}/admin/registry/model/", timeout=60)
    assert models.text.count('class="field-cooling"') == MODELS
    report = browser.get(f"{gateway.url}/admin/accounts/spend/?by=model", timeout=60)
    assert report.text.count("model-") > MODELS


@pytest.mark.parametrize("work", [hash_passwords, export, show_pages], ids=lambda each: each.__name__)
def test_it_works(
    busy: Gateway, provider: ScriptedProvider, browser: requests.Session, work: Callable[..., None]
) -> None:
    provider.default = STEADY
    assert stays_steady(busy, lambda: work(browser, busy))
