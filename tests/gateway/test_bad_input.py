"""Whatever a caller sends, the answer is clear, in OpenAI's shape, and never a fault of the gateway's own."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import openai
import orjson
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for

CHAT = "/v1/chat/completions"
GOOD = orjson.dumps({"messages": [{"role": "user", "content": "hi"}]})


def send(gateway: Gateway, data: bytes | Iterator[bytes], **headers: str) -> requests.Response:
    return gateway.session.post(f"{gateway.url}{CHAT}", data=data, headers=headers, timeout=20)


def is_refused(answer: requests.Response, status: int, code: str) -> bool:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert answer.headers["x-tokenhub-request-id"]
    return (answer.status_code, error["code"]) == (status, code)


def test_it_works(gateway: Gateway) -> None:
    assert is_refused(send(gateway, b"{}"), 400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'\xef\xbb\xbf{"messages": []}',
        b'{"messages": [{"role": "user", "content": 1e999}]}',
        b'{"messages": [{"role": "user", "content": NaN}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        b'{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        b'{"messages":' + b"[" * 1_100 + b"]" * 1_100 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"messages": []}',
        b'{"messages": "hi"}',
        b'{"messages": ["hi"]}',
        b'{"messages": [{"content": "hi"}]}',
        GOOD[:-1] + b',"model": 5}',
        GOOD[:-1] + b',"model": "' + b"m" * 201 + b'"}',
        GOOD[:-1] + b',"stream": "yes"}',
        GOOD[:-1] + b',"stream_options": []}',
        GOOD[:-1] + b',"stream_options": {"include_usage": {}}}',
        GOOD[:-1] + b',"max_tokens": 0}',
        GOOD[:-1] + b',"max_tokens": true}',
        GOOD[:-1] + b',"max_tokens": 0, "max_completion_tokens": 5}',
        GOOD[:-1] + b',"max_completion_tokens": 1.5}',
        GOOD[:-1] + b',"max_cost": -1}',
        GOOD[:-1] + b',"max_cost": "cheap"}',
    ],
    ids=lambda body: repr(body[-40:]),
)
def test_a_bad_body(gateway: Gateway, provider: ScriptedProvider, body: bytes) -> None:
    assert is_refused(send(gateway, body), 400, "invalid_request")
    assert provider.requests == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"response_format": {"type": {}}}),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": {}}]}]}),
        ("/v1/responses", {"input": [{"role": {}, "content": "hi"}]}),
        ("/v1/responses", {"input": [{"role": "system", "content": "hi", "type": {}}]}),
        ("/v1/responses", {"input": [{"role": "user", "content": "hi"}, {"type": []}]}),
        ("/v1/responses", {"input": "hi", "tools": [{"type": {}}]}),
        ("/v1/responses", {"input": "hi", "tool_choice": {"type": []}}),
        ("/v1/responses", {"input": "hi", "text": {"format": {"type": []}}}),
    ],
)
def test_what_should_be_a_word_and_is_none(gateway: Gateway, path: str, fields: dict[str, object]) -> None:
    refused = gateway.post(path, model="echo-1", fallback=False, **fields)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=bz2_codec"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=nonsense"},
        {"Content-Encoding": "gzip"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
def test_a_bad_header(gateway: Gateway, headers: dict[str, str]) -> None:
    assert is_refused(send(gateway, GOOD, **headers), 400, "invalid_request")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": 'application/json; charset="UTF-8"'}]
)
def test_a_harmless_header(gateway: Gateway, headers: dict[str, str]) -> None:
    assert send(gateway, GOOD, **headers).status_code == 200


def test_a_form_that_comes_too_slowly(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(b"POST /admin/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        caller.settimeout(15)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))  # until the server hangs up
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_model_that_is_not_there(gateway: Gateway) -> None:
    answer = gateway.post(model="bets")
    assert is_refused(answer, 404, "model_not_found")
    assert "best" in answer.json()["error"]["message"]


def test_a_prompt_that_fits_nowhere(gateway: Gateway) -> None:
    answer = gateway.post(messages=[{"role": "user", "content": "word " * 150_000}])
    assert is_refused(answer, 400, "context_length_exceeded")
    assert "maximum context length is 100000 tokens" in answer.json()["error"]["message"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(gateway: Gateway, chunked: bool) -> None:
    piece = b"x" * 1_000_000
    answer = send(gateway, (piece for _ in range(100)) if chunked else piece * 100)
    assert is_refused(answer, 413, "request_too_large")
    assert gateway.post().status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_comes_too_slowly(gateway: Gateway, chunked: bool) -> None:
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        caller.settimeout(0.2)  # a byte or a chunk five times a second
        began = time.monotonic()
        answer = b""
        while time.monotonic() - began < 20 and not answer:
            with suppress(TimeoutError):
                caller.sendall(b"1\r\nx\r\n" if chunked else b"x")
                answer = caller.recv(65536)
        answer += caller.recv(65536)  # the server writes head and body apart
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer
        assert time.monotonic() - began > 1.5
        caller.settimeout(5)
        assert caller.recv(65536) == b""  # what would come next on this connection is no request


@pytest.mark.parametrize("body", [b"canary\r\nabc", b"zz\r\nabc", b"3\r\nabcde\r\n", b"-1\r\n", b"3;\x00\r\nabc\r\n"])
def test_chunks_that_are_none(gateway: Gateway, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.settimeout(10)
        caller.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))  # until the server hangs up
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_request"' in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"canary" not in answer
    assert b"its chunks" in answer


def test_the_methods_of_an_endpoint_are_told(gateway: Gateway) -> None:
    answer = gateway.session.options(f"{gateway.url}{CHAT}", timeout=10)
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, "POST, OPTIONS", b"")


def test_a_body_that_breaks_off(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc".encode())
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/%0A", 404, "not_found"),
        ("GET", "/v1/models/a%0Ab", 404, "not_found"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
    ],
)
def test_a_wrong_address(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    assert is_refused(gateway.session.request(method, f"{gateway.url}{path}", timeout=10), status, code)


def test_a_method_that_is_not_allowed_names_those_that_are(gateway: Gateway) -> None:
    assert gateway.session.get(f"{gateway.url}{CHAT}", timeout=10).headers["Allow"] == "POST, OPTIONS"


def test_the_sdk_knows_the_refusals(gateway: Gateway) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "x"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="auto", messages=[])
    assert bad.value.param == "messages"


def test_nothing_of_this_was_a_fault_of_ours(gateway: Gateway) -> None:
    assert "Traceback" not in gateway.log
    assert "internal_error" not in gateway.log


def test_what_is_left_of_a_body_is_not_in_the_log(gateway: Gateway) -> None:
    """A client that counts characters for bytes leaves some, which look like a request."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(head + b'{}"canary of a prompt"}\r\n\r\n')
        while connection.recv(65536):
            pass
    assert wait_for(lambda: "Invalid request from" in gateway.log)
    assert "canary of a prompt" not in gateway.log


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/models"])
def test_a_page_of_another_site_is_refused(gateway: Gateway, path: str) -> None:
    """A browser says where a request comes from, and sends plain text anywhere without asking."""
    method = "GET" if path == "/v1/models" else "POST"
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example", "Content-Type": "text/plain"}
    refused = requests.request(method, f"{gateway.url}{path}", data=GOOD, headers=headers, timeout=10)
    assert refused.status_code == 403
    assert "another site" in refused.json()["error"]["message"]
    own = requests.get(f"{gateway.url}/v1/models", headers={"Sec-Fetch-Site": "same-origin"}, timeout=10)
    assert own.status_code == 200


def test_a_client_of_anthropics_is_refused_in_its_own_shape_everywhere(gateway: Gateway) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    answer = requests.post(f"{gateway.url}/v1/complete", data=GOOD, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["type"]) == (404, "error")
    assert answer.json()["error"]["type"] == "not_found_error"
    assert "error" not in requests.post(f"{gateway.url}/v1/complete", data=GOOD, timeout=10).json().get("type", "")
