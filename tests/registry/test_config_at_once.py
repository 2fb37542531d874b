"""Two loads at the same time end as one after the other would: the second finds nothing to change."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).parents[2]
FILE = ROOT / "fixtures" / "config" / "multi-provider.json"


def command(url: str, *arguments: str) -> "subprocess.Popen[str]":
    """A command of the project, running on the database at `url`."""
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings", "OPENAI_API_KEY": "x"}
    program = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def database_for_others(folder: Path) -> str:
    """The URL of the test's database: itself, or a copy of it in a file when it is in this process's memory."""
    if connection.vendor == "postgresql":
        at = connection.settings_dict
        return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}/{at['NAME']}"
    connection.ensure_connection()
    copy = sqlite3.connect(folder / "copy.sqlite3")
    connection.connection.backup(copy)
    copy.close()
    return f"sqlite:///{folder / 'copy.sqlite3'}"


@pytest.mark.django_db(transaction=True)
def test_it_works(tmp_path: Path) -> None:
    url = database_for_others(tmp_path)
    loads = [command(url, "loadconfig", str(FILE)) for _ in range(2)]
    outputs = [load.communicate(timeout=60)[0] for load in loads]
    assert [load.returncode for load in loads] == [0, 0]
    assert sorted("nothing to change" in output for output in outputs) == [False, True]
    exported = json.loads(command(url, "exportconfig").communicate(timeout=60)[0])
    assert [len(exported[part]) for part in ("providers", "models")] == [3, 3]
