"""Commands run as an operator runs them: without a key, and killed half-way."""

import fcntl
import os
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from vault.crypto import Ring, generate_key, sealed_under

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = 400


def environment(**given: str) -> dict[str, str]:
    """What a process starts with; nothing of this one's own keys and databases."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("TOKENHUB_", "DATABASE", "REDIS"))}
    return kept | {"DJANGO_SETTINGS_MODULE": "tokenhub_site.settings", "TOKENHUB_ENV_FILE": "", **given}


def manage(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


def keys_of(file: Path) -> dict[str, str]:
    """Every secret's name with the id of the key that it rests under."""
    with sqlite3.connect(file) as database:
        return {name: sealed_under(value) for name, value in database.execute("SELECT name, value FROM vault_secret")}


def fill(file: Path, ring: Ring) -> dict[str, str]:
    """Write many secrets into the database; returns their texts by their names."""
    texts = {f"s{number}": f"sk-{number}-0123456789" for number in range(ROWS)}
    with sqlite3.connect(file) as database:
        for name, text in texts.items():
            pk = uuid.uuid4()
            sealed = ring.seal(text, context=f"vault.secret|{pk}|value")
            row = (pk.hex, name, "", sealed, "", "2025-01-01 00:00:00")
            database.execute(
                "INSERT INTO vault_secret (id, name, note, value, env_name, set_at) VALUES (?,?,?,?,?,?)", row
            )
    return texts


def kill_half_way(env: dict[str, str]) -> None:
    """Start a rotation that stops in a full pipe, for nobody reads what it says, and kill it there."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "manage.py", "rotatekeys", "--batch-size", "1"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=writing)
    os.close(writing)
    assert os.read(reading, 10)
    process.kill()
    assert process.wait(10) == -9
    os.close(reading)


def test_it_works(tmp_path: Path) -> None:
    old, new = generate_key(), generate_key()
    file = tmp_path / "hub.sqlite3"
    env = environment(DATABASE_URL=f"sqlite:///{file}", TOKENHUB_ENCRYPTION_KEY=old)
    assert manage("migrate", "--verbosity", "0", env=env).returncode == 0
    texts = fill(file, Ring.parse(old))

    env["TOKENHUB_ENCRYPTION_KEY"] = f"{new},{old}"
    kill_half_way(env)
    ids = (Ring.parse(old).primary, Ring.parse(new).primary)
    assert set(keys_of(file).values()) == set(ids)

    ended = manage("rotatekeys", env=env)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"Key {ids[0]} is not needed any more" in ended.stdout
    assert set(keys_of(file).values()) == {ids[1]}
    with sqlite3.connect(file) as database:
        for pk, name, value in database.execute("SELECT id, name, value FROM vault_secret"):
            assert Ring.parse(new).open(value, context=f"vault.secret|{uuid.UUID(pk)}|value") == texts[name]


@pytest.mark.parametrize("key", ["", "nonsense"])
def test_a_key_is_made_before_there_is_any(key: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/missing/hub.sqlite3"
    made = manage("generatekey", env=environment(TOKENHUB_ENCRYPTION_KEY=key, DATABASE_URL=database))
    assert (made.returncode, made.stderr) == (0, "")
    assert Ring.parse(made.stdout).ids
    assert made.stdout.count("\n") == 1
