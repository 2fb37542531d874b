"""The benchmark runs, and its figures are complete. How fast anything is, is not asked here."""

import subprocess
import sys
from pathlib import Path

import orjson

from bench.accounts import measured
from tests.server import ROOT


def test_it_works(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True)
    written = orjson.loads(file.read_bytes())
    assert {"python", "django", "gunicorn"} <= set(written["machine"])
    figures = written["figures"]
    assert all(len(rounds) == 1 for rounds in figures.values())
    for name, (figure,) in figures.items():
        assert figure == 0 if name.endswith("failed") else figure > 0, name
        assert name in done.stdout


def test_the_books_are_measured() -> None:
    command = [sys.executable, "-m", "bench.books", "--rows", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "300 calls at " in done.stdout
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith(("| all: ", "| lead: "))]
    assert len(lines) > 30
    for name, *figures in lines:
        assert all(float(figure) >= 0 for figure in figures), name


def test_accounts_are_measured() -> None:
    for way in ("accounts off", "key with a budget"):
        assert all(figure > 0 for figure in measured(way, 0.3).values())
