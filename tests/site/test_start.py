"""The server starts from almost nothing, or says in one line why it does not and leaves everything as it was."""

import os
import socket
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.server import ROOT, Gateway, free_port, model
from vault.crypto import Ring, generate_key

DEMO = ROOT / "fixtures" / "config" / "demo.json"
SEED = {
    "vault": {"encryption_key_env": "MY_OWN_KEY"},
    "providers": [{"name": "echo", "type": "echo"}],
    "models": [model("m", "echo")],
}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment with nothing in it but a place for data."""
    own = {name: os.environ[name] for name in os.environ if name.startswith("COVERAGE")}
    return {
        "PATH": os.environ["PATH"],
        "TOKENHUB_ENV_FILE": "",
        "TOKENHUB_DATA_DIR": str(folder / "var"),
        **own,
        **more,
    }


def tokenhub(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the console script where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "tokenhub_site.cli", *arguments],
        cwd=ROOT,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def written(folder: Path, config: Any) -> str:
    """Write a configuration file and return its path."""
    path = folder / "config.json"
    path.write_bytes(config if isinstance(config, bytes) else orjson.dumps(config))
    return str(path)


def test_it_works(tmp_path: Path) -> None:
    with Gateway(
        tmp_path, orjson.loads(DEMO.read_bytes()), TOKENHUB_DATA_DIR=str(tmp_path / "new" / "data")
    ) as gateway:
        assert gateway.post().json()["choices"][0]["message"]["content"] == "hello"
        assert gateway.session.get(f"{gateway.url}/health").json() == {"status": "healthy"}
        assert gateway.session.get(f"{gateway.url}/health/ready").json()["status"] == "ready"
        assert "no key is needed, so /v1 is open" in gateway.log
        assert f"Serving on {gateway.url}/v1, admin at {gateway.url}/admin/" in gateway.log
        page = gateway.session.get(f"{gateway.url}/")
        assert page.url == f"{gateway.url}/admin/login/?next=/admin/"
        style = gateway.session.get(f"{gateway.url}/static/admin/css/base.css")
        assert (style.status_code, style.headers["content-type"]) == (200, 'text/css; charset="utf-8"')


@pytest.mark.parametrize("flag", ["-generate-key", "--generate-key"])
def test_a_key_is_made_without_any_setting(tmp_path: Path, flag: str) -> None:
    made = tokenhub(tmp_path, flag)
    assert made.returncode == 0
    assert made.stdout.count("\n") == 1
    assert len(Ring.parse(made.stdout).ids) == 1


def test_help_names_what_there_is(tmp_path: Path) -> None:
    told = tokenhub(tmp_path, "--help")
    assert told.returncode == 0
    for word in ("-config", "--config", "-generate-key", "--port", "--create-admin"):
        assert word in told.stdout


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "TOKENHUB_ENCRYPTION_KEY is not set"),
        ("c2hvcnQ=", "5 bytes instead of 32"),
        ("not base64!", "not base64"),
    ],
)
def test_a_start_without_a_key_is_refused(tmp_path: Path, key: str, said: str) -> None:
    refused = tokenhub(tmp_path, "-config", str(DEMO), TOKENHUB_ENCRYPTION_KEY=key)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"{", "not"),
        (SEED | {"provders": []}, "providers"),
        (SEED | {"models": [model("m", "nobody")]}, "models[0].provider"),
        (SEED | {"models": [model("m", "echo", context_size=0)]}, "models[0].context_size"),
        (SEED | {"server": {"port": 99999}}, "server.port"),
    ],
    ids=["syntax", "field", "reference", "row", "port"],
)
def test_a_start_with_a_bad_file_is_refused(tmp_path: Path, config: Any, said: str) -> None:
    refused = tokenhub(tmp_path, "-config", written(tmp_path, config), MY_OWN_KEY=generate_key())
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "var").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused = tokenhub(tmp_path, "-config", str(tmp_path / "none.json"), TOKENHUB_ENCRYPTION_KEY=generate_key())
    assert (refused.returncode, "none.json" in refused.stderr) == (1, True)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        key = generate_key()
        refused = tokenhub(tmp_path, "--host", "127.0.0.1", "--port", str(port), TOKENHUB_ENCRYPTION_KEY=key)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


def test_metrics_need_a_port_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    for taken, said in ((port, "needs another port than"), (None, "cannot listen on 127.0.0.1:")):
        with socket.create_server(("127.0.0.1", 0)) as other:
            bind = f"127.0.0.1:{taken or other.getsockname()[1]}"
            key = {"TOKENHUB_ENCRYPTION_KEY": generate_key(), "TOKENHUB_METRICS_BIND": bind}
            told = tokenhub(tmp_path, "--host", "127.0.0.1", "--port", str(port), **key)
        assert told.returncode == 1
        assert said in told.stderr
    assert not (tmp_path / "var").exists()


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    """Also where its folder is not: whoever runs the gateway may have made that, or named another."""
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    url = f"sqlite:///{folder / 'hub.sqlite3'}"
    with Gateway(tmp_path, SEED | {"vault": {}}, DATABASE_URL=url) as gateway:
        assert gateway.post().ok
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("hub.sqlite3*")}
    assert modes == {"hub.sqlite3": 0o600, "hub.sqlite3-wal": 0o600, "hub.sqlite3-shm": 0o600}


def test_two_may_start_at_once(tmp_path: Path) -> None:
    config = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("m", "echo")]}
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    shared = {"TOKENHUB_DATA_DIR": str(tmp_path / "var"), "TOKENHUB_ENCRYPTION_KEY": generate_key()}
    gateways = [Gateway(folder, config, **shared) for folder in folders]
    with ThreadPoolExecutor() as pool, ExitStack() as running:
        for gateway in pool.map(running.enter_context, gateways):
            assert gateway.post().ok


@pytest.mark.parametrize("kind", ["no folder", "no database"])
def test_storage_that_cannot_be_used_is_named(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "var"
    if kind == "no folder":
        folder.write_text("a file is in the way")
    else:
        folder.mkdir()
        (folder / "tokenhub.sqlite3").write_bytes(b"this is no database" * 100)
    port, key = str(free_port()), generate_key()
    refused = tokenhub(tmp_path, "--port", port, "-config", str(DEMO), TOKENHUB_ENCRYPTION_KEY=key)
    assert refused.returncode == 1
    assert refused.stderr.startswith("tokenhub: the database cannot be ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("change", ["wrong", "missing first"])
def test_another_key_is_refused_by_its_name_and_nothing_is_written(tmp_path: Path, change: str) -> None:
    with Gateway(tmp_path, SEED | {"vault": {}}) as gateway:
        right = gateway.environment["TOKENHUB_ENCRYPTION_KEY"]
        assert gateway.post().ok
    database = tmp_path / "var" / "tokenhub.sqlite3"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = list(connection.iterdump())
    key = generate_key()
    port = str(free_port())
    refused = tokenhub(tmp_path, "--port", port, "-config", str(DEMO), TOKENHUB_ENCRYPTION_KEY=key)
    assert refused.returncode == 1
    assert Ring.parse(right).primary in refused.stderr
    with sqlite3.connect(database) as connection:
        assert list(connection.iterdump()) == before
    if change == "wrong":
        return
    # with the old key beside it, the new one is welcome
    with Gateway(tmp_path, SEED | {"vault": {}}, TOKENHUB_ENCRYPTION_KEY=f"{key},{right}") as gateway:
        assert gateway.post().ok


def test_the_file_may_name_the_variable_of_the_key(tmp_path: Path) -> None:
    with Gateway(tmp_path, SEED, TOKENHUB_ENCRYPTION_KEY="", MY_OWN_KEY=generate_key()) as gateway:
        assert gateway.post().ok


def test_a_key_under_another_name_than_the_files_is_not_taken(tmp_path: Path) -> None:
    port = str(free_port())
    refused = tokenhub(
        tmp_path, "-config", written(tmp_path, SEED), "--port", port, TOKENHUB_ENCRYPTION_KEY=generate_key()
    )
    assert refused.returncode == 1
    assert not (tmp_path / "var").exists()


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    more = {"TOKENHUB_ENCRYPTION_KEY": generate_key(), "DATABASE_URL": "nonsense"}
    refused = tokenhub(tmp_path, "-config", str(DEMO), **more)
    assert (refused.returncode, "DATABASE_URL" in refused.stderr) == (1, True)


def test_the_seed_starts_with_one_secret(tmp_path: Path) -> None:
    more = {"OPENAI_API_KEY": "sk-canary-openai", "ANTHROPIC_API_KEY": "sk-canary-anthropic"}
    with Gateway(tmp_path, None, **more) as gateway:
        listed = gateway.session.get(f"{gateway.url}/v1/models").json()["data"]
        assert {"gpt-4", "gpt-3.5-turbo"} <= {entry["id"] for entry in listed}
        assert "canary" not in gateway.log


def test_a_restart_keeps_what_people_edited(tmp_path: Path) -> None:
    config = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("m", "echo", weight=50)]}
    edit = "from registry.models import Model; Model.objects.filter(public_id='m').update(weight=77)"
    read = "from registry.models import Model; print('weight', Model.objects.get(public_id='m').weight)"
    with Gateway(tmp_path, config) as gateway:
        key = gateway.environment["TOKENHUB_ENCRYPTION_KEY"]
        assert gateway.run("shell", "-c", edit).returncode == 0
    with Gateway(tmp_path, config, TOKENHUB_ENCRYPTION_KEY=key) as gateway:
        assert "weight 77.0" in gateway.run("shell", "-c", read).stdout


def test_the_first_admin_is_made_once(tmp_path: Path) -> None:
    config = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("m", "echo")]}
    first = Gateway(tmp_path, config)
    first.command.append("--create-admin")
    with first as gateway:
        line = next(line for line in gateway.log.splitlines() if line.startswith("Admin account"))
        password = line.split("password: ")[1].split(" ")[0]
        login = f"{gateway.url}/admin/login/"
        gateway.session.get(login)
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": gateway.session.cookies["csrftoken"]}
        page = gateway.session.post(login, data=form, headers={"Referer": login})
        assert page.url == f"{gateway.url}/accounts/profile/" or "Log out" in page.text
    second = Gateway(tmp_path, config, TOKENHUB_ENCRYPTION_KEY=first.environment["TOKENHUB_ENCRYPTION_KEY"])
    second.command.append("--create-admin")
    with second as gateway:
        assert "Admin account" not in gateway.log


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "TOKENHUB_MAX_BODY_BYTES",
            "abc",
            "site.E001: TOKENHUB_MAX_BODY_BYTES is 'abc', which is no whole number. ",
        ),
        (
            "WEB_CONCURRENCY",
            "0",
            "site.E001: WEB_CONCURRENCY is 0, which is not between 1 and 1024. Give a whole number ",
        ),
        ("TOKENHUB_LOG_LEVEL", "loud", "site.E003: TOKENHUB_LOG_LEVEL is 'loud'"),
        ("TOKENHUB_DRAIN_SECONDS", "400", "site.E004: TOKENHUB_LAME_DUCK_SECONDS (1) and TOKENHUB_DRAIN_SECONDS (400)"),
        ("PSYCOPG_WAIT_FUNC", "wait_c", "site.E005: PSYCOPG_WAIT_FUNC is 'wait_c'"),
        ("DATABASE_URL", "mysql://host/name", "site.E007: DATABASE_URL names no database"),
    ],
)
def test_a_variable_that_cannot_be_used_stops_the_start(tmp_path: Path, name: str, value: str, said: str) -> None:
    more = {"TOKENHUB_ENCRYPTION_KEY": generate_key(), name: value}
    refused = tokenhub(tmp_path, "-config", str(DEMO), "--port", str(free_port()), **more)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"tokenhub: {said}")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


def test_a_variable_that_cannot_be_used_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    database = tmp_path / "var" / "tokenhub.sqlite3"
    with Gateway(tmp_path, SEED | {"vault": {}}) as gateway:
        key = gateway.environment["TOKENHUB_ENCRYPTION_KEY"]
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = list(connection.iterdump())
    more = {"TOKENHUB_ENCRYPTION_KEY": key, "TOKENHUB_KEEPALIVE_SECONDS": "soon"}
    refused = tokenhub(tmp_path, "-config", str(DEMO), "--port", str(free_port()), **more)
    assert refused.returncode == 1
    assert "site.E001: TOKENHUB_KEEPALIVE_SECONDS" in refused.stderr
    with sqlite3.connect(database) as connection:
        assert list(connection.iterdump()) == before


@pytest.mark.parametrize("port", ["0", "-1", "80000", "http"])
def test_a_port_that_is_none_is_refused_before_anything_is_changed(tmp_path: Path, port: str) -> None:
    refused = tokenhub(tmp_path, f"--port={port}", TOKENHUB_ENCRYPTION_KEY=generate_key())
    assert refused.returncode == 2
    assert f"'{port}' is no port" in refused.stderr
    assert not (tmp_path / "var").exists()
