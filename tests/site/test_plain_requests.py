"""What is read in one go is read as gunicorn would read it, and whatever is odd gunicorn reads."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from tokenhub_site.plain_requests import PlainParser, _PlainRequest

HERE = ("127.0.0.1", 1)
LINES = [
    "Host: hub.example.com",
    "Authorization: Bearer th_ab_cd",
    "Content-Type:application/json",
    "Content-Length: 2",
    "Content-Length: 3",
    "Content-Length: +2",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Connection: Keep-Alive",
    "Expect: 100-continue",
    "Expect: something",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Ssl: on",
    "X_Underscore: 1",
    "x-tokenhub-session:  \t a b \t",
    "X-Latin: caf\xe9",
    "X-Control: a\x01b",
    "X-Null: a\x00b",
    "X-Space : 1",
    " folded",
    "no colon",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABk",
    "Host: other.example.com",
]
FIRST = [
    "POST /v1/chat/completions HTTP/1.1",
    "GET /v1/models?limit=3&a=%20b HTTP/1.1",
    "GET / HTTP/1.1",
    "GET //evil.example.com/x HTTP/1.1",
    "GET /a#b HTTP/1.1",
    "GET http://hub.example.com/v1 HTTP/1.1",
    "GET /v1 HTTP/1.0",
    "GET /v1 HTTP/2.0",
    "GET  /v1 HTTP/1.1",
    "DELETE /v1 HTTP/1.1",
    "get /v1 HTTP/1.1",
    "GET /caf\xe9 HTTP/1.1",
    "GET * HTTP/1.1",
]
ENDS = ["\r\n\r\n", "\n\n", "\r\n", "\r\n \r\n\r\n"]


def read(parser: type[Any], data: bytes, peer: tuple[str, int] = HERE) -> Any:
    """Return all that the application is told of the first request, and what remains after it; or why there is none."""
    source = iter([data, b""])
    try:
        reading = parser(Config(), source, peer)
        request = next(reading)
        told = {
            name: getattr(request, name)
            for name in ("method", "uri", "path", "query", "fragment", "version", "headers", "scheme", "trailers")
        }
        body = request.body.read()
        return told, request.should_close(), request._expected_100_continue, body, reading.unreader.take_buffered()
    except StopIteration:
        return StopIteration
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
        return type(error)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("line", LINES)
def test_it_works(first: str, line: str) -> None:
    data = f"{first}\r\nHost: a\r\n{line}\r\n\r\n{{}}GET /next HTTP/1.1\r\n\r\n".encode("latin-1")
    assert read(PlainParser, data) == read(RequestParser, data)


@given(
    st.sampled_from(FIRST),
    st.lists(st.sampled_from(LINES) | st.text(st.characters(max_codepoint=255), max_size=20), max_size=6),
    st.sampled_from(ENDS),
    st.sampled_from([HERE, ("203.0.113.9", 1)]),
)
def test_all_else_is_read_alike(first: str, lines: list[str], end: str, peer: tuple[str, int]) -> None:
    data = ("\r\n".join([first, *lines]) + end).encode("latin-1") + b"{}"
    assert read(PlainParser, data, peer) == read(RequestParser, data, peer)


@pytest.mark.parametrize("size", [3900, 4000, 4094, 5000, 9000])
def test_the_limits_are_gunicorns(size: int) -> None:
    long_line = f"GET /{'x' * size} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    long_field = f"GET / HTTP/1.1\r\nHost: a\r\nX-Long: {'x' * size}\r\n\r\n".encode()
    many = ("GET / HTTP/1.1\r\n" + "".join(f"X-{number}: 1\r\n" for number in range(size // 50)) + "\r\n").encode()
    for data in (long_line, long_field, many):
        assert read(PlainParser, data) == read(RequestParser, data)


def test_what_clients_send_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_PlainRequest.__base__, "_parse_python")  # which would be asked for all that is not
    data = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Api-Key: th_a_b\r\n\r\n{}"
    (told, *_, body, rest) = read(PlainParser, data)
    assert (told["method"], told["path"], told["query"], body, rest) == (
        "POST",
        "/v1/messages",
        "beta=true",
        b"{}",
        b"",
    )


def test_a_head_in_two_pieces_is_left_to_gunicorn() -> None:
    pieces = iter([b"POST /v1/models HTTP/1.1\r\nHo", b"st: a\r\nContent-Length: 2\r\n\r\n{", b"}GET", b""])
    request = next(PlainParser(Config(), pieces, HERE))
    assert (request.path, request.headers) == ("/v1/models", [("HOST", "a"), ("CONTENT-LENGTH", "2")])
    assert request.body.read() == b"{}"
