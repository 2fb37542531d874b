"""Requests as clients of an API send them, read in one go; what is out of the ordinary is left to gunicorn's parser.

What is plain is a strict part of what gunicorn takes, so both read it alike: GET or POST, HTTP/1.1, a head that came
whole and is short, no header twice, none with an underscore, and a length rather than chunks.
"""

import re
import time
from typing import Any, Final

from django.conf import settings
from gunicorn.http.message import Request
from gunicorn.http.parser import Parser

from tokenhub_site import refusals

# No limit of gunicorn's on lines and fields is below it.
_LONGEST_HEAD: Final = 4000
_MOST_HEADERS: Final = 50
_REST_SECONDS: Final = 1.0
_REST_BYTES: Final = 64 * 1024
_HEAD: Final = re.compile(
    rb"(GET|POST) (/(?!/)[!\"$-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
_UNUSUAL: Final = frozenset({"TRANSFER-ENCODING", "UPGRADE", "EXPECT", "TRAILER", "TE", "HTTP2-SETTINGS"})


class _PlainRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request that is read here if it is a plain one."""

    path: str
    query: str
    _expected_100_continue: bool

    def _parse_python(self, unreader: Any, buf: bytearray) -> Any:
        data = bytes(buf)
        head = _HEAD.match(data, 0, _LONGEST_HEAD)
        if head is None or (headers := self._plain(head[3])) is None:
            return super()._parse_python(unreader, buf)
        self.headers = headers
        self.method, self.uri = head[1].decode(), head[2].decode()
        self.path, _, self.query = self.uri.partition("?")
        self.fragment = ""
        self.version = (1, 1)
        return data[head.end() :]

    def set_body_reader(self) -> None:
        """Ask for no body that is larger than any may be: it is refused before it is sent."""
        super().set_body_reader()
        if self._expected_100_continue:
            length = next((value for name, value in self.headers if name == "CONTENT-LENGTH"), "0")
            self._expected_100_continue = int(length) <= settings.TOKENHUB_MAX_BODY_BYTES

    def _plain(self, lines: bytes) -> list[tuple[str, str]] | None:
        """Return the headers, their names in capitals; None where they are not plain."""
        headers = []
        for line in lines.decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            headers.append((name.upper(), value.strip(" \t")))
        names = {name for name, _ in headers}
        if len(names) < len(headers) or len(headers) > _MOST_HEADERS or not names.isdisjoint(_UNUSUAL):
            return None
        if not names.isdisjoint(self.cfg.secure_scheme_headers):
            self._note_scheme(headers)
        return headers

    def _note_scheme(self, headers: list[tuple[str, str]]) -> None:
        """Believe a trusted proxy how it was asked; raises what gunicorn does where it says two things."""
        believed, _ = self._peer_trusted_for_forwarded()
        told: list[bool] = [False]
        for name, value in headers:
            self._apply_header_policy(name, value, told, set(), believed, ())


class PlainParser(Parser):  # type: ignore[misc]
    """Reads the requests of a connection one after the other."""

    mesg_class = _PlainRequest

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Take the rest of a body that nobody has read, if it is short and here soon; else hang up and return False.

        Of a caller who is refused gunicorn would take any amount, for ever.
        """
        if self.mesg is None:
            return True
        deadline, max_bytes = deadline or time.monotonic() + _REST_SECONDS, max_bytes or _REST_BYTES
        is_over: bool = super().finish_body(deadline, max_bytes)
        if not is_over:
            refusals.hang_up(self.unreader.sock)
        return is_over
