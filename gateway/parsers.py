"""Reads a request's body once: capped, timed, and whether its length is told or it comes in chunks."""

import socket
from contextlib import suppress
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from gunicorn.http.errors import ParseException

from gateway.errors import BodyTimeout, BodyTooLarge, InvalidRequest, LengthRequired
from gateway.patience import Patience

_PIECE_BYTES: Final = 64 * 1024
_CHARSETS: Final = {"", "utf-8", "utf8", "us-ascii"}


def read_body(request: HttpRequest) -> bytes:
    """Return the bytes of the body; raises a `CallerError`: too large, too slow, without length, cut short, no JSON.

    Django's own handler takes a chunked body for an empty one, so the server's stream is read directly.
    """
    _check_headers(request)
    stream = request.META["wsgi.input"]
    length = _announced_length(request)
    most = settings.TOKENHUB_MAX_BODY_BYTES
    too_large = BodyTooLarge(f"The body is larger than {most} bytes.")
    if length is not None and length > most:
        raise too_large
    late = partial(BodyTimeout, f"The body did not arrive within {settings.TOKENHUB_BODY_SECONDS:g} seconds.")
    try:
        with Patience(settings.TOKENHUB_BODY_SECONDS).limit(settings.TOKENHUB_BODY_SECONDS, late):
            body = _take(stream, most + 1 if length is None else length)
    except BodyTimeout:
        hang_up_after_answer(request)
        raise
    except (OSError, ParseException) as error:
        hang_up_after_answer(request)
        # in other words than the server's own, which quote the bytes that came
        why = "its chunks are not as HTTP has them" if isinstance(error, ParseException) else "the connection ended"
        raise InvalidRequest(f"The body broke off: {why}.") from error
    if len(body) > most:
        raise too_large
    if length is not None and len(body) < length:
        raise InvalidRequest(f"The body has {len(body)} bytes; the header announced {length}.")
    return bytes(body)


def _take(stream: Any, most: int) -> bytearray:
    """Read until the end of the stream or until there are `most` bytes."""
    body = bytearray()
    while len(body) < most and (piece := stream.read(min(_PIECE_BYTES, most - len(body)))):
        body += piece
    return body


def _announced_length(request: HttpRequest) -> int | None:
    """Return the length that the headers tell; None for a chunked body."""
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        if not request.META.get("wsgi.input_terminated"):
            raise LengthRequired("This server needs a Content-Length.")
        return None
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isascii() or not length.isdigit():
        raise InvalidRequest("Content-Length is not a number.")
    return int(length)


def _check_headers(request: HttpRequest) -> None:
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise InvalidRequest("A compressed body is not supported: send it as plain JSON.")
    charset = (request.content_params or {}).get("charset", "").strip('"').lower()
    if charset not in _CHARSETS:
        raise InvalidRequest("JSON is UTF-8: leave the charset out.")
    if (request.content_type or "").startswith("multipart/"):
        raise InvalidRequest("Send the body as application/json.")


def hang_up_after_answer(request: HttpRequest) -> None:
    """Let nothing more be read from the caller: where the next request would begin is unknown."""
    caller: Any = request.META.get("gunicorn.socket")
    if caller is not None:
        with suppress(OSError):  # it may have hung up by itself
            caller.shutdown(socket.SHUT_RD)
