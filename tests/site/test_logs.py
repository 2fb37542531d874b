"""A log record is one line of JSON, and what looks like a credential is cut."""

import logging
import subprocess
import sys
from typing import Any

import orjson
import pytest
from django.http import HttpRequest

from gateway.exchange import Call, current
from tests.server import ROOT, Gateway
from tokenhub_site.logs import JsonLines, NoCalls, redact


def line(message: str, *arguments: object, **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {"name": "gateway.x", "levelname": "INFO", "msg": message, "args": arguments} | extra
    )
    written = JsonLines().format(record)
    assert "\n" not in written
    told: dict[str, Any] = orjson.loads(written)
    return told


def test_it_works() -> None:
    told = line("done %s", "it\nall", status=200, models={1: ["a"]})
    assert (
        told.items()
        >= {
            "level": "info",
            "logger": "gateway.x",
            "message": "done it\nall",
            "status": 200,
            "models": {"1": ["a"]},
        }.items()
    )


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abcdefgh12345",
        "bearer  abc.def-ghi~1",
        "sk-proj-abcdefgh",
        "key: sk_live_12345678",
        "gsk_abcdef123",
        "th_ab12cd_secretpart",
    ],
)
def test_credentials_are_cut(text: str) -> None:
    told = line("said %s", text, note=f"({text})")
    assert "…" in told["message"]
    for part in ("efgh", "ghi", "5678", "f123", "secretpart"):
        assert part not in orjson.dumps(told).decode()


def test_ordinary_words_stay() -> None:
    assert redact("the task-list of monkey-business costs 5") == "the task-list of monkey-business costs 5"


def test_an_exception_is_told_on_the_same_line() -> None:
    try:
        raise ValueError("Bearer abcdefgh12345")
    except ValueError:
        told = line("failed", exc_info=sys.exc_info())
    assert "ValueError" in told["exception"]
    assert "abcdefgh" not in told["exception"]


def test_what_json_does_not_know_is_told_as_text() -> None:
    assert line("x", path=object)["path"].startswith("<class")


def test_an_answer_of_the_api_has_no_second_line() -> None:
    about = [logging.makeLogRecord({"request": HttpRequest()}) for _ in range(3)]
    about[0].request.path_info = "/v1/models"  # type: ignore[attr-defined]  # as Django's handler adds it
    about[1].request.path_info = "/admin/"  # type: ignore[attr-defined]
    del about[2].request  # type: ignore[attr-defined]
    assert [NoCalls().filter(record) for record in about] == [False, True, True]


@pytest.mark.parametrize(("status", "is_told"), [(503, False), (500, True)])
def test_a_probe_that_finds_a_fault_of_ours_is_told(status: int, is_told: bool) -> None:
    request = HttpRequest()
    request.path_info = "/health/ready"
    assert NoCalls().filter(logging.makeLogRecord({"request": request, "status_code": status})) is is_told


def test_the_server_speaks_like_the_gateway(gateway: Gateway) -> None:
    """From gunicorn's first word on, every line is JSON."""
    gateway.stop()
    lines = gateway.log.splitlines()
    first = next(index for index, text in enumerate(lines) if "Starting gunicorn" in text)
    assert {orjson.loads(text)["logger"] for text in lines[first:]} >= {"gunicorn.error"}


def test_a_line_says_whose_request_and_trace_it_is_about() -> None:
    call = Call("req_1", "GET /", 0.0)
    token = current.set(call)
    try:
        assert line("x")["request_id"] == "req_1"
        assert "trace_id" not in line("x")
        call.trace_id = "0af7"
        assert line("x")["trace_id"] == "0af7"
        assert line("x", request_id="req_2")["request_id"] == "req_2"
    finally:
        current.reset(token)
    assert "request_id" not in line("x")


STRAYS = """
import gevent, logging, sys, threading, warnings
from tokenhub_site import gunicorn_conf, logs
handler = logging.StreamHandler()
handler.setFormatter(logs.JsonLines())
logging.getLogger().addHandler(handler)
logs.tell_of_strays(gevent.get_hub())
def stray():
    raise ValueError("Bearer abcdefgh12345")
gevent.spawn(stray).join()
one = threading.Thread(target=stray)
one.start()
one.join()
warnings.warn("of age")
"""


def test_what_nobody_caught_is_told_like_all_else() -> None:
    run = subprocess.run(
        [sys.executable, "-c", STRAYS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    told = [orjson.loads(text) for text in run.stderr.splitlines()]
    assert [each["level"] for each in told] == ["error", "error", "warning"]
    assert all("ValueError" in each["exception"] and "abcdefgh" not in each["exception"] for each in told[:2])
    assert "of age" in told[2]["message"]
