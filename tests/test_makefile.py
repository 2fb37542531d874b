"""The commands that people type, as far as they go without installing anything."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vault.crypto import Ring

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = Path(".venv") / ".runtime-installed"


def make(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder, with the project's Makefile and nothing else in the environment."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder in which make finds everything installed."""
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / INSTALLED).touch()
    return tmp_path


def test_it_works() -> None:
    listed = make()
    assert listed.returncode == 0
    shown = re.findall(r"^  make ([a-z-]+) +\S", listed.stdout, flags=re.MULTILINE)
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert declared
    assert sorted(shown) == sorted(declared[1].split())


@pytest.mark.parametrize("command", ["install", "run", "test", "bench"])
def test_an_old_python_is_refused_with_the_way_out(command: str, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\n[ "$1" = --version ]\n')
    old.chmod(0o755)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    refused = make(command, f"PYTHON={old}", folder=tmp_path)
    assert refused.returncode != 0
    assert f"TokenHub needs Python 3.11 or newer; {old} is Python 3.9.2." in refused.stdout
    assert "make PYTHON=" in refused.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_missing_python_is_told(tmp_path: Path) -> None:
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    assert "no-such-python is not to be found" in make("install", "PYTHON=no-such-python", folder=tmp_path).stdout


def test_nothing_is_installed_twice(installed: Path) -> None:
    again = make("install", folder=installed)
    assert again.returncode == 0
    assert "pip" not in again.stdout


def test_fresh_keys_are_the_owners_alone_and_stay(installed: Path) -> None:
    assert make(".env", folder=installed).returncode == 0
    written = installed / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in written.read_text().splitlines())
    assert len(Ring.parse(values["TOKENHUB_ENCRYPTION_KEY"]).ids) == 1
    assert len(values["SECRET_KEY"]) >= 50
    before = written.read_bytes()
    assert make(".env", folder=installed).returncode == 0
    assert written.read_bytes() == before


def test_a_run_writes_no_key_where_the_environment_brings_one(installed: Path) -> None:
    assert ".env.new" in make("--dry-run", "run", folder=installed).stdout
    told = make("--dry-run", "run", "PORT=8123", folder=installed, TOKENHUB_ENCRYPTION_KEY_FILE="key").stdout
    assert ".env.new" not in told
    assert "tokenhub -config fixtures/config/demo.json --port 8123 --create-admin" in told


def test_the_checks_see_nobodys_databases() -> None:
    lines = make("--dry-run", "test").stdout.splitlines()
    steps = [line for line in lines if re.search(r"-m pytest|bin/mypy|manage\.py", line)]
    assert len(steps) == 4
    assert all("env -u DATABASE_URL -u REDIS_URL" in step for step in steps)
