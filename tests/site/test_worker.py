"""A worker's answers: the head goes out with the first of the body, and a failure never looks like a whole answer."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.server import ROOT


def served(*pieces: str) -> dict[str, Any]:
    """Return what came of a connection with three requests, each answered with these pieces."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.site.serving", *pieces],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_works() -> None:
    told = served("a", "bc")
    assert told["said"].count("HTTP/1.1 200 OK") == 3
    assert told["said"].count("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n") == 3
    assert told["left"] == 0  # the pauses of the collector would hold up every stream
    assert "upgrade" not in told["said"]


def test_a_failure_before_the_first_byte_is_told() -> None:
    said = served("", "!")["said"]
    assert said.startswith("HTTP/1.1 500 ")
    assert json.loads(said.partition("\r\n\r\n")[2])["error"]["type"] == "api_error"


def test_a_failure_in_the_middle_ends_the_connection() -> None:
    said = served("a", "!")["said"]
    assert said.count("HTTP/1.1") == 1
    assert said.endswith("1\r\na\r\n")
