"""A variable that cannot be used is told by its name, with an id and what to give; nobody's default changes for it."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from django.core.checks import CheckMessage, run_checks

from gateway.wire import bodies
from tests.server import ROOT
from tests.site.test_start import environment
from tokenhub_site import variables
from tokenhub_site.databases import database
from vault.crypto import generate_key


def found() -> list[CheckMessage]:
    """What the site's checks find, asked as Django does."""
    return [message for message in run_checks() if str(message.id).startswith("site.")]


def manage(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a management command in an environment of its own."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(folder, TOKENHUB_ENCRYPTION_KEY=generate_key(), **more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the variables of whoever runs it."""
    for name in variables.TABLE:
        monkeypatch.delenv(name, raising=False)


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found() == []
    for name, value in {
        "TOKENHUB_MAX_BODY_BYTES": "1",
        "TOKENHUB_MAX_JSON_DEPTH": "250",
        "TOKENHUB_BODY_SECONDS": " 1e-1 ",
        "TOKENHUB_LOG_LEVEL": "debug",
        "TOKENHUB_BEHIND_TLS": "True",
        "TOKENHUB_DRAIN_SECONDS": "0",
        "PSYCOPG_WAIT_FUNC": "wait_selector",
        "REDIS_URL": "redis://:secret@one:6379/0,rediss://two;unix:///run/redis.sock",
        "WEB_CONCURRENCY": "",
        "TOKENHUB_METRICS_BIND": "[::1]:9464",
        "TOKENHUB_METRICS_TOKEN": "0123456789abcdef",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318",
    }.items():
        monkeypatch.setenv(name, value)
    assert found() == []
    assert variables.whole("TOKENHUB_MAX_BODY_BYTES") == 1
    assert variables.decimal("TOKENHUB_BODY_SECONDS") == 0.1
    assert variables.choice("TOKENHUB_LOG_LEVEL") == "DEBUG"
    assert variables.switch("TOKENHUB_BEHIND_TLS") is True
    assert variables.whole("WEB_CONCURRENCY") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", [*variables.WHOLE, *variables.DECIMAL])
@pytest.mark.parametrize("value", ["abc", "30s", "-1", "nan", "inf", "1,5"])
def test_what_is_no_number_of_that_range(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    (message,) = found()
    assert (message.id, message.is_serious()) == ("site.E001", True)
    assert message.msg.startswith(f"{name} is ")
    assert value in message.msg
    span = variables.WHOLE.get(name) or variables.DECIMAL[name]
    assert f"{span.unit} from {span.lowest} to {span.highest}." in (message.hint or "")
    assert (variables.whole if name in variables.WHOLE else variables.decimal)(name) == span.default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENHUB_MAX_BODY_BYTES", "0"),
        ("TOKENHUB_MAX_JSON_DEPTH", "0"),
        ("TOKENHUB_MAX_JSON_DEPTH", "251"),
        ("TOKENHUB_BODY_SECONDS", "0"),
        ("TOKENHUB_REQUEST_SECONDS", "0.0"),
        ("TOKENHUB_REFRESH_SECONDS", "0"),
        ("TOKENHUB_REFRESH_SECONDS", "10"),
        ("TOKENHUB_SQLITE_BUSY_SECONDS", "0"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "2.0"),
        ("TOKENHUB_WORKER_CONNECTIONS", "0"),
        ("TOKENHUB_KEEPALIVE_SECONDS", "0"),
        ("TOKENHUB_WORKER_TIMEOUT", "1"),
    ],
)
def test_the_ends_of_a_range(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    (message,) = found()
    assert (message.id, name in message.msg) == ("site.E001", True)


def test_no_depth_that_may_be_set_is_too_deep_to_be_written() -> None:
    depth = variables.WHOLE["TOKENHUB_MAX_JSON_DEPTH"].highest
    raw = b'{"messages":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    _, rest = bodies.split(raw, bodies.parse(raw, max_depth=depth), [])
    assert orjson.dumps([{"wrapped": orjson.loads(rest)}]).startswith(b'[{"wrapped":{"messages":[[[')


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", "treu", "site.E002"),
        ("TOKENHUB_BEHIND_TLS", "2", "site.E002"),
        ("TOKENHUB_USE_ENV_PROXIES", "none", "site.E002"),
        ("TOKENHUB_LOG_LEVEL", "loud", "site.E003"),
        ("TOKENHUB_DRAIN_SECONDS", "330", "site.E004"),
        ("TOKENHUB_GRACEFUL_TIMEOUT", "300", "site.E004"),
        ("TOKENHUB_LAME_DUCK_SECONDS", "30", "site.E004"),
        ("PSYCOPG_WAIT_FUNC", "wait_c", "site.E005"),
        ("PSYCOPG_WAIT_FUNC", "WAIT_POLL", "site.E005"),
        ("REDIS_URL", "http://:secret@host", "site.E006"),
        ("TOKENHUB_CA_BUNDLE", "/gone/bundle.pem", "site.E008"),
        ("TOKENHUB_CA_BUNDLE", __file__, "site.E008"),
        ("TOKENHUB_ENV_FILE", "/gone/settings.env", "site.E008"),
        ("REDIS_URL", "redis://host,secret", "site.E006"),
        ("TOKENHUB_METRICS_BIND", "9464", "site.E012"),
        ("TOKENHUB_METRICS_BIND", "127.0.0.1:0", "site.E012"),
        ("TOKENHUB_METRICS_BIND", "127.0.0.1:70000", "site.E012"),
        ("TOKENHUB_METRICS_BIND", "::1:9464", "site.E012"),
        ("TOKENHUB_METRICS_BIND", "http://localhost:9464", "site.E012"),
        ("TOKENHUB_METRICS_TOKEN", "secret", "site.E013"),
        ("TOKENHUB_METRICS_TOKEN", "a secret of some words", "site.E013"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317/secret", "site.E014"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://secret@collector:4317", "site.E014"),
    ],
)
def test_words_that_say_nothing(name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    (message,) = found()
    assert (message.id, message.is_serious(), name in message.msg) == (expected, True, True)
    assert message.hint
    assert "secret" not in f"{message.msg} {message.hint}"


def test_the_settings_can_be_read_whatever_the_variables_say(tmp_path: Path) -> None:
    more = dict.fromkeys(variables.TABLE, "nonsense")
    told = manage(tmp_path, "check", **more)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    for name, variable in variables.TABLE.items():
        assert f"({variable.id}) {name} is " in told.stderr


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://u:secret@host/name",
        "postgress://u:secret@host/name",
        "postgres://u:sec/ret@host/name",
        "postgres://u:secret@host:port/name",
        "postgres://u:secret@host",
        "sqlite://var/secret.sqlite3",
    ],
)
@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_database_that_is_none(tmp_path: Path, url: str, command: str) -> None:
    told = manage(tmp_path, command, DATABASE_URL=url)
    assert told.returncode == 1
    assert told.stderr.startswith("manage.py: site.E007: DATABASE_URL ")
    assert told.stderr.count("\n") == 1
    assert "sec" not in told.stderr


@pytest.mark.parametrize(
    "url", ["postgres://u:p@host:5432/name", "postgresql:///name", "postgres://?service=x", "sqlite://:memory:"]
)
def test_a_database_that_is_one(url: str) -> None:
    assert database(url)["ENGINE"].startswith("django.db.backends.")


def test_gunicorn_by_itself_refuses_them_too(tmp_path: Path) -> None:
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:tokenhub_site.gunicorn_conf", "--check-config"]
    more = {"TOKENHUB_ENCRYPTION_KEY": generate_key()}
    for value, code in {"5": 0, "0": 1}.items():
        alone = environment(tmp_path, TOKENHUB_BODY_SECONDS=value, **more)
        ended = subprocess.run(gunicorn, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, "site.E001: TOKENHUB_BODY_SECONDS is 0" in ended.stderr) == (code, bool(code))


def test_gunicorn_by_itself_refuses_what_stands_in_a_file(tmp_path: Path) -> None:
    """The file is read by the settings, in the worker: it must not serve with defaults that nobody asked for."""
    written = tmp_path / "env"
    written.write_text("TOKENHUB_BODY_SECONDS=soon\n")
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:tokenhub_site.gunicorn_conf"]
    more = {"TOKENHUB_ENCRYPTION_KEY": generate_key(), "TOKENHUB_BIND": "127.0.0.1:0", "WEB_CONCURRENCY": "1"}
    alone = environment(tmp_path, **more) | {"TOKENHUB_ENV_FILE": str(written)}
    ended = subprocess.run(gunicorn, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "site.E001: TOKENHUB_BODY_SECONDS is 'soon'" in ended.stderr
