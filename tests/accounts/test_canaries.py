"""No secret is found anywhere but where it belongs, whatever goes wrong: in no log, page, answer, export or dump."""

import base64
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests
from redis import Redis

from tests.accounts.load import ask, config
from tests.collector import Collector
from tests.databases import own_database, own_role
from tests.proxy import Proxy
from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.server import Gateway, wait_for

PROVIDER_KEY = f"sk-canary-{secrets.token_hex(12)}"
ADMIN = {"username": "canary-admin", "password": f"canary-{secrets.token_hex(8)}"}
METRICS_TOKEN = f"canary-{secrets.token_hex(12)}"
PROMPT = f"canary {secrets.token_hex(12)}"
MOST_PAGES = 50
_LINK = re.compile(r'href="(/admin/[^"#]*|\?[^"#]*)"')
_NO_PAGE = re.compile(r"logout|jsi18n|password_change|/static/")


@contextmanager
def own_redis_user() -> Iterator[tuple[str, str]]:
    """The address of Redis for a user with a password, that lasts as long, and the password."""
    name, password = f"tokenhub-{secrets.token_hex(6)}", secrets.token_hex(12)
    with closing(Redis(host="127.0.0.1")) as client:
        client.acl_setuser(name, enabled=True, passwords=[f"+{password}"], keys=["*"], commands=["+@all"])
        try:
            yield f"redis://{name}:{password}@127.0.0.1:6379/0", password
        finally:
            client.acl_deluser(name)


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ways, canaries = blocked_at_will(stack)
        settings = {name: way.url for name, way in ways.items()}
        whole = config(provider)
        whole["providers"][0] |= {"api_key": PROVIDER_KEY, "type": "openai"}
        whole["models"].append({**whole["models"][0], "id": "other"})
        collector = stack.enter_context(Collector())
        settings |= {"TOKENHUB_METRICS_TOKEN": METRICS_TOKEN, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        hub = stack.enter_context(Gateway(tmp_path, whole, WEB_CONCURRENCY="2", **settings))
        token = hub.key("--rpm", "100000", "--budget-usd", "100")
        canaries |= {"provider key": PROVIDER_KEY, "client key": token.rpartition("_")[2], "admin": ADMIN["password"]}
        canaries["metrics token"] = METRICS_TOKEN
        canaries["encryption key"] = hub.environment["TOKENHUB_ENCRYPTION_KEY"]
        canaries["pepper"] = pepper(hub)
        assert all(canaries.values())
        told = [*trouble(hub, provider, token, list(ways.values()))]
        assert any(PROVIDER_KEY in each.header("Authorization") for each in provider.requests)  # it is in use
        assert wait_for(lambda: hub.run("ledger", "check").returncode == 0, 20)
        watched = [metrics(hub), *(str(span) for span in collector.spans())]
        assert len(watched) > 20
        assert found({"prompt": PROMPT, "public id": token.split("_")[1]} | canaries, watched) == []
        told += [*pages(hub), *commands(hub), hub.log, *database(hub)]
        told += [file.read_text(errors="replace") for file in (tmp_path / "var").rglob("*") if file.is_file()]
        assert found(canaries, told) == []
        assert found({"public id": token.split("_")[1]}, [*database(hub)])  # what would be found is found
        assert found({"digest": digest(hub, token)}, [*database(hub)])


def blocked_at_will(stack: ExitStack) -> tuple[dict[str, Proxy], dict[str, str]]:
    """Ways to Redis and, where the tests run on it, PostgreSQL, whose addresses hold passwords; and these."""
    url, password = stack.enter_context(own_redis_user())
    ways, canaries = {"REDIS_URL": stack.enter_context(Proxy(url))}, {"password of Redis": password}
    if server := stack.enter_context(own_database()).get("DATABASE_URL"):
        url = stack.enter_context(own_role(server, 30))
        ways["DATABASE_URL"] = stack.enter_context(Proxy(url))
        canaries["password of PostgreSQL"] = urlsplit(url).password or ""
    return ways, canaries


def pepper(hub: Gateway) -> str:
    """The pepper of the client keys, in hexadecimal."""
    shown = "from accounts.models import Pepper; print(Pepper.objects.get().octets.hex())"
    return hub.run("shell", "-v0", "-c", shown).stdout.strip()


def digest(hub: Gateway, token: str) -> str:
    """What rests of a client key."""
    shown = f"from accounts.models import ApiKey; print(ApiKey.objects.get(public_id='{token.split('_')[1]}').digest)"
    return hub.run("shell", "-v0", "-c", shown).stdout.strip()


def found(canaries: dict[str, str], told: list[str]) -> list[str]:
    """The names of the canaries that are in any of the texts, as they are, in hexadecimal or in base64."""
    whole = "\n".join(told)
    return [name for name, canary in canaries.items() if any(form in whole for form in forms(canary))]


def forms(canary: str) -> list[str]:
    """The ways in which a secret may be written; for one that is bytes, also those of its bytes."""
    octets = [canary.encode()]
    if re.fullmatch(r"([0-9a-f]{2}){16,}", canary):
        octets.append(bytes.fromhex(canary))
    encoded = [base64.b64encode(each).decode().rstrip("=")[:-1] for each in octets]
    return [canary, *(each.hex() for each in octets), *encoded]


def trouble(hub: Gateway, provider: ScriptedProvider, token: str, ways: list[Proxy]) -> Iterator[str]:
    """What callers are told while things go wrong."""

    def asked(key: str = token, **more: object) -> str:
        messages = [{"role": "user", "content": PROMPT}]
        told = ask(hub, key, explain=True, messages=messages, **more).told
        return f"{dict(told.headers)}{told.text}"

    yield asked()
    for status in (400, 401, 500):
        provider.play(*[error(status, f"Incorrect API key provided: {PROVIDER_KEY}")] * 4)
        yield asked()
        provider.start_afresh()
    yield asked(stream=True)
    yield asked(f"{token}x")
    for way in ways:
        for mood in ("refusing", "hanging"):
            way.be(mood)
            yield from (asked() for _ in range(3))
            threading.Event().wait(1.5)
            yield requests.get(f"{hub.url}/health/ready", timeout=30).text
            way.be("well")
            assert wait_for(lambda: ask(hub, token).status == 200, 20)
    headers = {"Authorization": f"Bearer {token}"}
    decision = ask(hub, token).told.headers["x-tokenhub-request-id"]
    for path in ("/v1/models", "/v1/usage", f"/v1/decisions/{decision}", "/v1/openapi.json", "/health/ready"):
        yield requests.get(f"{hub.url}{path}", headers=headers, timeout=30).text


def metrics(hub: Gateway) -> str:
    """What Prometheus reads."""
    told = requests.get(f"{hub.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=30)
    assert "tokenhub_refusals_total" in told.text
    return told.text


def pages(hub: Gateway) -> Iterator[str]:
    """The pages of the admin that can be reached by links, and the report as CSV."""
    hub.environment["DJANGO_SUPERUSER_PASSWORD"] = ADMIN["password"]
    made = hub.run("createsuperuser", "--noinput", "--username", ADMIN["username"], "--email", "a@example.com")
    assert made.returncode == 0, made.stderr
    browser = requests.Session()
    form = browser.get(f"{hub.url}/admin/login/", timeout=30).text
    hidden = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)[0]
    sent = ADMIN | {"csrfmiddlewaretoken": hidden, "next": "/admin/"}
    assert "canary-admin" in browser.post(f"{hub.url}/admin/login/", data=sent, timeout=30).text
    seen, waiting = {"/admin/"}, ["/admin/", "/admin/accounts/spend/csv/"]
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        seen.add(path)
        told = browser.get(f"{hub.url}{path}", timeout=30)
        assert told.status_code < 500, path
        yield told.text
        links = [link for link in _LINK.findall(told.text) if link.startswith("/") and not _NO_PAGE.search(link)]
        waiting += [link for link in dict.fromkeys(links) if link not in seen and link not in waiting]
    assert {"accounts", "registry", "vault"} <= {path.split("/")[2] for path in seen}


def commands(hub: Gateway) -> Iterator[str]:
    """What commands print."""
    for arguments in (["exportconfig"], ["dumpdata"], ["check"], ["ledger", "check"], ["rotatekeys", "--dry-run"]):
        told = hub.run(*arguments)
        assert told.returncode == 0, told.stderr
        yield told.stdout + told.stderr


def database(hub: Gateway) -> Iterator[str]:
    """All that is in the database, row by row: of PostgreSQL; the file of SQLite is read as it is."""
    if url := hub.environment.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                for (row,) in connection.execute(f'SELECT t::text FROM "{table}" t').fetchall():
                    yield row
    else:
        for file in (hub.folder / "var").glob("tokenhub.sqlite3*"):
            yield file.read_text(errors="replace")
