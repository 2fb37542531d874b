"""A body that is refused is not taken without end, and what its caller is told arrives."""

import socket
import time
from contextlib import suppress

import pytest
import requests

from tests.server import Gateway, wait_for

CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
HUGE = "Content-Length: 99999999999\r\n"


def begin(gateway: Gateway, line: str, headers: str) -> socket.socket:
    """Return a connection on which the head of a request was sent."""
    caller = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    caller.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n{headers}".encode())
    return caller


def send_without_end(gateway: Gateway, caller: socket.socket, piece: bytes) -> float:
    """Send until the gateway hangs up; returns the longest time that somebody else waited for it meanwhile."""
    longest, ends = 0.0, time.monotonic() + 60
    with suppress(OSError):
        while time.monotonic() < ends:
            for _ in range(200):
                caller.sendall(piece)
            began = time.monotonic()
            assert requests.get(f"{gateway.url}/health/live", timeout=20).ok
            longest = max(longest, time.monotonic() - began)
    assert time.monotonic() < ends
    return longest


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("POST /v1/chat/completions", CHUNKED, 413),
        ("POST /nobody", CHUNKED, 404),
        ("GET /health", CHUNKED, 200),
        ("POST /nobody", f"{HUGE}\r\n", 404),
    ],
)
def test_it_works(gateway: Gateway, line: str, headers: str, status: int) -> None:
    piece = CHUNK if headers == CHUNKED else b"x" * 65536
    with begin(gateway, line, headers) as caller:
        assert send_without_end(gateway, caller, piece) < 5
    with begin(gateway, line, headers) as caller:
        caller.sendall(piece * (20 if status == 413 else 1))
        assert caller.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


def test_an_answer_that_is_the_last_arrives_as_well(gateway: Gateway) -> None:
    with begin(gateway, "POST /v1/chat/completions", f"Connection: close\r\n{CHUNKED}") as caller:
        with suppress(OSError):
            for _ in range(400):
                caller.sendall(CHUNK)
        assert caller.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_too_large_is_not_asked_for(gateway: Gateway) -> None:
    with begin(gateway, "POST /v1/chat/completions", f"{HUGE}Expect: 100-continue\r\n\r\n") as caller:
        began = time.monotonic()
        assert caller.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - began < 3


def test_a_client_that_reads_only_after_it_has_sent_all_is_told(gateway: Gateway) -> None:
    answer = requests.post(f"{gateway.url}/v1/chat/completions", data=b"x" * 50_000_000, timeout=30)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_a_probe_with_head_leaves_no_line(gateway: Gateway) -> None:
    before = gateway.log
    answer = requests.head(f"{gateway.url}/health/ready", timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    assert requests.get(f"{gateway.url}/v1/nobody", timeout=20).status_code == 404
    assert wait_for(lambda: "/v1/nobody" in gateway.log)
    assert "no-body" not in gateway.log.removeprefix(before)
