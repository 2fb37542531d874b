"""What gunicorn itself refuses, before it is a request: told as JSON like every refusal, without the caller's bytes."""

import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import gevent
import orjson
from gunicorn.http import errors as http

from gateway.errors import GatewayError, Malformed, Unexpected
from gateway.wire.formats import error_body

ID_HEADERS: Final = ("x-tokenhub-request-id", "x-request-id", "request-id")
"""Where clients look for the id of what was refused."""
_LINGER_SECONDS: Final = 5.0
_PIECE_BYTES: Final = 1024 * 1024

# The first that an exception belongs to counts; the application's own headers are no caller's doing.
_REFUSALS: Final[Mapping[type[Exception], tuple[int, str]]] = {
    http.InvalidResponseHeader: (500, ""),
    http.InvalidResponseHeaderName: (500, ""),
    http.ConfigurationProblem: (500, ""),
    http.LimitRequestLine: (414, "The address is too long."),
    http.LimitRequestHeaders: (431, "The headers are too large, or too many."),
    http.UnsupportedTransferCoding: (501, "The Transfer-Encoding is not supported."),
    http.ExpectationFailed: (417, "No expectation is met but 100-continue."),
    http.ForbiddenProxyRequest: (403, "This proxy may not send requests."),
    http.InvalidRequestLine: (400, "The first line is none of an HTTP request."),
    http.InvalidRequestMethod: (400, "The method is none of HTTP's."),
    http.InvalidHTTPVersion: (400, "The version is none of HTTP/1."),
    http.InvalidHeaderName: (400, "The name of a header is not valid."),
    http.InvalidHeader: (400, "A header is not valid, or contradicts another."),
    http.ParseException: (400, "This is no HTTP request that can be read."),
}


def refusal_of(error: BaseException) -> GatewayError:
    """Return what the caller is told of what gunicorn raised; `Unexpected` for what is a fault of ours."""
    found = (told for kind, told in _REFUSALS.items() if isinstance(error, kind))
    status, message = next(found, (500, ""))
    if status == 500:
        return Unexpected("The gateway made a mistake; its log has the details under this request's id.")
    return Malformed(message, status=status)


def new_id() -> str:
    """Return an id for what never became a call."""
    return f"req_{secrets.token_hex(12)}"


def written(error: GatewayError, path: str, request_id: str) -> bytes:
    """Return the HTTP answer, after which the connection closes; the path is empty where it was not understood."""
    body = orjson.dumps(error_body(error, path, request_id))
    headers = {
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **dict.fromkeys(ID_HEADERS, request_id),
    }
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def hang_up(caller: Any) -> None:
    """Take what the caller still sends, for some seconds: a connection with unread bytes is reset, and the answer lost.

    Most clients read an answer only after they have sent all.
    """
    with suppress(OSError), gevent.Timeout(_LINGER_SECONDS, False):  # noqa: FBT003 - gevent's way to say "quietly"
        caller.shutdown(socket.SHUT_WR)
        while caller.recv(_PIECE_BYTES):
            gevent.sleep(0)  # one who sends without a pause would have the worker for themselves
