"""What is no request, and what is no endpoint, is refused as JSON in the caller's shape, without the caller's bytes."""

import socket

import orjson
import pytest
import requests
from gunicorn.http import errors

from tests.server import Gateway, wait_for
from tokenhub_site import refusals

CANARY = "canary-of-a-caller"
LINE = f"GET /v1/models?{CANARY} HTTP/1.1\r\n"
HOST = "Host: x\r\n"


def exchange(gateway: Gateway, data: str) -> tuple[int, dict[str, str], bytes]:
    """Send bytes and return the status, headers and body of what comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as caller:
        caller.sendall(data.encode())
        said = b""
        while piece := caller.recv(65536):
            said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body)
    return int(first.split()[1]), headers, body


REFUSED = {
    "first line": (f"{CANARY}\r\n\r\n", 400),
    "method": (f"G@T{CANARY} /v1/models HTTP/1.1\r\n{HOST}\r\n", 400),
    "version": (f"GET /v1/models?{CANARY} HTTP/7.1\r\n{HOST}\r\n", 400),
    "long line": (f"GET /v1/{CANARY}{'x' * 20_000} HTTP/1.1\r\n{HOST}\r\n", 414),
    "large header": (f"{LINE}X-Large: {CANARY}{'x' * 200_000}\r\n\r\n", 431),
    "many headers": (LINE + "".join(f"X-{number}: {CANARY}\r\n" for number in range(200)) + "\r\n", 431),
    "header name": (f"{LINE}X Bad {CANARY}: 1\r\n\r\n", 400),
    "folded header": (f"{LINE}X-A: 1\r\n {CANARY}\r\n\r\n", 400),
    "two lengths": (f"{LINE}Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "length": (f"{LINE}Content-Length: {CANARY}\r\n\r\n", 400),
    "coding": (f"{LINE}Transfer-Encoding: {CANARY}\r\n\r\n", 501),
    "expectation": (f"{LINE}Expect: {CANARY}\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_works(gateway: Gateway, name: str) -> None:
    data, expected = REFUSED[name]
    status, headers, body = exchange(gateway, data)
    error = orjson.loads(body)["error"]
    assert status == expected
    assert (error["type"], error["code"]) == ("invalid_request_error", "malformed_request")
    assert error["message"]
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    wanted = headers["x-tokenhub-request-id"]
    assert CANARY.encode() not in body
    assert wait_for(lambda: wanted in gateway.log)
    (line,) = (line for line in gateway.log.splitlines() if wanted in line)
    assert "Invalid request from ip=127.0.0.1" in line
    assert CANARY not in gateway.log


def test_callers_of_messages_are_told_in_their_shape(gateway: Gateway) -> None:
    status, headers, body = exchange(
        gateway, f"POST /v1/messages?beta=true HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n"
    )
    told = orjson.loads(body)
    assert (status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert told["request_id"] == headers["request-id"]


@pytest.mark.parametrize(
    "fault", [RuntimeError("x"), errors.InvalidResponseHeader("X"), errors.ConfigurationProblem("x")]
)
def test_a_fault_of_ours_is_none_of_the_callers(fault: Exception) -> None:
    told = refusals.refusal_of(fault)
    head, _, body = refusals.written(told, "/v1/models", "req_1").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert orjson.loads(body)["error"]["code"] == "internal_error"


def test_a_caller_who_goes_on_sending_is_left(gateway: Gateway) -> None:
    """The answer is not held for the rest of what is no request."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as caller:
        caller.sendall(f"{CANARY}\r\n\r\n".encode())
        assert caller.recv(65536).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert caller.recv(65536) == b""


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("//v1/chat/completions", "openai"),
        ("/v1//chat/completions", "openai"),
        ("/chat/completions", "openai"),
        ("/v1beta/models", "openai"),
        ("/wp-login.php", "openai"),
        ("//v1/messages", "anthropic"),
        ("/v1/messages/batches", "anthropic"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_endpoint(gateway: Gateway, method: str, path: str, shape: str) -> None:
    status, headers, body = exchange(
        gateway, f"{method} {path} HTTP/1.1\r\n{HOST}Accept: */*\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    told = orjson.loads(body)
    assert (status, headers["content-type"]) == (404, "application/json")
    assert headers["x-tokenhub-request-id"]
    if shape == "anthropic":
        assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    else:
        assert told["error"]["code"] == "not_found"
    assert path in told["error"]["message"]


def test_people_are_shown_pages(gateway: Gateway) -> None:
    page = {"Accept": "text/html,application/xhtml+xml;q=0.9"}
    unknown = requests.get(f"{gateway.url}/nothing", headers=page, timeout=10)
    assert (unknown.status_code, unknown.headers["content-type"].split(";")[0]) == (404, "text/html")
    for path in ("/", "/admin/"):
        for headers in (page, {"Accept": "*/*"}):
            answer = requests.get(f"{gateway.url}{path}", headers=headers, timeout=10)
            assert (answer.status_code, "TokenHub" in answer.text) == (200, True)
    styles = requests.get(f"{gateway.url}/static/registry/admin.css", headers={"Accept": "text/css,*/*"}, timeout=10)
    assert styles.headers["content-type"].startswith("text/css")
