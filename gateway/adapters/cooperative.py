"""The way to providers under gevent: what `requests` asks of an adapter, over geventhttpclient's parser.

A connection is kept for the next request when an answer was read to its end, and looked at before it serves again.
"""

from __future__ import annotations

import select
import time
import zlib
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, cast
from urllib.parse import urlsplit

import requests
from gevent import monkey, socket, ssl
from gevent.lock import Semaphore
from geventhttpclient.response import HTTPParseError, HTTPResponse
from requests.adapters import BaseAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from gateway.adapters import dialing
from registry import threads

_PIECE_BYTES: Final = 64 * 1024
_MOST_HEAD_BYTES: Final = 256 * 1024
_CONNECTIONS_KEPT: Final = 256  # to one origin
_KEPT_SECONDS: Final = 60.0  # less than after what networks forget a silent connection
_NAME_SECONDS: Final = 10.0
_NO_NAME_SECONDS: Final = 1.0
_MOST_INFLATED_BYTES: Final = 1024 * 1024  # at once: a few compressed bytes may be very many
_ONE_SEND_BYTES: Final = 64 * 1024
_AUTOMATIC: Final = 47  # zlib's way to say: gzip or zlib, whichever it is
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_pool: Final = threads.Pool(1)  # of its own: whoever has to call a provider does not wait for pages of the admin


class _Target(NamedTuple):
    """Where a URL leads: what is connected to, and what a request to it says of it."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str


class Asking(requests.PreparedRequest):
    """A prepared request of which only the body is new each time: what stands before it is checked and written once."""

    target: _Target
    head: bytes
    """All but the length of the body, which is the last line."""

    @classmethod
    def of(cls, prepared: requests.PreparedRequest) -> Self:
        """Return what all requests of an endpoint have in common."""
        made = cls()
        vars(made).update(vars(prepared))
        made.target = _target(prepared.url or "")
        lines = [f"{prepared.method} {made.target.path} HTTP/1.1", f"Host: {made.target.authority}"]
        left_out = {"host", "content-length"}
        lines += [f"{name}: {value}" for name, value in prepared.headers.items() if name.lower() not in left_out]
        made.head = "\r\n".join([*lines, ""]).encode("latin-1")
        return made

    def with_body(self, body: bytes) -> Self:
        """Return a request that sends this body."""
        made = object.__new__(type(self))
        vars(made).update(vars(self), body=body or None)
        return made


class CooperativeAdapter(BaseAdapter):
    """Sends a prepared request; other greenlets run while it waits. `timeout` bounds only the connecting."""

    def __init__(self, *, private_allowed: bool, certificates: str) -> None:
        super().__init__()
        self._private_allowed = private_allowed
        self._certificates = certificates or DEFAULT_CA_BUNDLE_PATH
        self._origins: dict[tuple[str, str, int], _Origin] = {}

    def send(  # noqa: PLR0917 - the signature is `requests`'
        self,
        request: requests.PreparedRequest,
        stream: bool = True,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the response once its headers are here; its body comes as it is read, whatever `stream` says.

        Raises OSError, `requests.Timeout` or `HTTPParseError`.
        """
        asking = cast("Asking", request)
        origin = self._origin(asking.target)
        channel = origin.connected(timeout[0])
        answer = _Answer(origin, channel, str(request.method))
        is_answered = False
        try:
            _send(channel, asking)
            answer.read_head()
            is_answered = True
        finally:
            if not is_answered:
                answer.close()
        response = requests.Response()
        response.status_code = answer.get_code()
        for name, value in answer.items():
            response.headers[name] = value
        response.request, response.url, response.raw = asking, asking.url or "", answer
        return response

    def close(self) -> None:
        """Close all connections that are kept."""
        for origin in self._origins.values():
            origin.close()

    def _origin(self, target: _Target) -> _Origin:
        key = target[:3]
        origin = self._origins.get(key)
        if origin is None:
            context = _pool.run(_trusting, self._certificates) if target.scheme == "https" else None
            made = _Origin(target.host, target.port, private_allowed=self._private_allowed, context=context)
            origin = self._origins.setdefault(key, made)  # another may have been quicker
        return origin


class _Origin:
    """One server: the connections to it that are free, and the TLS session that the next one can go on with."""

    def __init__(self, host: str, port: int, *, private_allowed: bool, context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._private_allowed = private_allowed
        self._context = context
        self._session: Any = None
        self._found: dialing.Found = ()
        self._found_until = 0.0
        self._not_found = ""
        self._asking = Semaphore()
        self._free: deque[tuple[float, socket.socket]] = deque(maxlen=_CONNECTIONS_KEPT)

    def connected(self, seconds: float) -> socket.socket:
        """Return a connection that is open: the one that was free last, or a new one, made in so many seconds."""
        while self._free:
            since, channel = self._free.pop()
            if time.monotonic() - since < _KEPT_SECONDS and _is_quiet(channel):
                return channel
            self.leave(channel)
        channel = dialing.dial(self._host, self._addresses(), seconds=seconds, private_allowed=self._private_allowed)
        if self._context is not None:
            channel = self._secured(channel, self._context)
        channel.settimeout(None)
        return channel

    def _secured(self, channel: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        with ExitStack() as undo:
            secured = context.wrap_socket(
                channel, server_hostname=self._host, session=self._session, do_handshake_on_connect=False
            )
            undo.callback(secured.close)  # the descriptor is its own now
            try:
                secured.do_handshake()
            except TimeoutError as error:
                raise requests.ConnectTimeout(f"{self._host} did not finish the TLS handshake") from error
            undo.pop_all()
            return secured

    def _addresses(self) -> dialing.Found:
        """Return what the name leads to, asked by one for all who open connections in the next seconds.

        That there is nothing counts for a second: those who wait are not to ask one after the other.
        """
        with self._asking:
            if time.monotonic() >= self._found_until:
                self._ask()
            if self._not_found:
                raise dialing.NotReached(self._not_found)
            return self._found

    def _ask(self) -> None:
        seconds, self._not_found = _NAME_SECONDS, ""
        try:
            self._found = dialing.resolved(self._host, self._port)
        except dialing.NotReached as fault:
            seconds, self._not_found = _NO_NAME_SECONDS, str(fault)
        self._found_until = time.monotonic() + seconds

    def leave(self, channel: socket.socket) -> None:
        """Close a connection; a new one can go on with its TLS session."""
        if self._context is not None:
            self._session = channel.session
        channel.close()

    def keep(self, channel: socket.socket) -> None:
        """Take back a connection whose answer was read to its end."""
        now = time.monotonic()
        while self._free and (len(self._free) == _CONNECTIONS_KEPT or now - self._free[0][0] > _KEPT_SECONDS):
            self.leave(self._free.popleft()[1])
        self._free.append((now, channel))

    def close(self) -> None:
        """Close what is kept."""
        while self._free:
            self._free.pop()[1].close()


class _Answer(HTTPResponse):
    """What comes back on a connection, as `requests` reads it; `close` says that no more of it is needed."""

    def __init__(self, origin: _Origin, channel: socket.socket, method: str) -> None:
        super().__init__(method)
        self._origin = origin
        self._channel: socket.socket | None = channel
        self._arrived: list[bytes | bytearray] = []
        self._has_ended = False
        self._fault = ""
        self._inflating: Any = None

    def read_head(self) -> None:
        """Read until the headers are here; those of an interim answer (1xx) do not count."""
        size = 0
        while not self.headers_complete or self.get_code() < 200:
            size += self._receive()
            if size > _MOST_HEAD_BYTES:
                raise HTTPParseError("the headers are too long")
        encoding = str(self.get("content-encoding", "identity")).strip().lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflating = zlib.decompressobj(_AUTOMATIC)
        elif encoding not in {"identity", ""}:
            raise HTTPParseError(f"the answer is encoded as {encoding}, which nobody asked for")

    def read1(self, amount: int = _PIECE_BYTES, *, decode_content: bool = True) -> bytes:
        """Return what has arrived of the body, or wait for it; nothing at its end. `amount` is only a hint."""
        piece = b""
        while not piece:
            while not (self._arrived or self._folded or self._has_ended):
                self._receive()
            if not self._arrived and not self._folded:
                self._check_end()
                return b""
            piece = b"".join(self._arrived)
            self._arrived.clear()
            if self._inflating is not None:
                piece = _inflated(self._inflating, self._folded + piece)
        return piece

    def arrived(self) -> bool:
        """Whether `read1` does surely not wait."""
        return self._has_ended or (self._inflating is None and bool(self._arrived))

    def _check_end(self) -> None:
        """Refuse a compressed body that ends too early or too late."""
        if self._inflating is not None and (not self._inflating.eof or self._inflating.unused_data):
            raise HTTPParseError("the compressed answer does not end where it should")

    @property
    def _folded(self) -> bytes:
        """What has arrived and is still compressed."""
        return b"" if self._inflating is None else self._inflating.unconsumed_tail

    def drain_conn(self) -> None:
        """Read what is left of the body, so that the connection can serve again."""
        while not self._has_ended:
            self._receive()
            self._arrived.clear()

    def close(self) -> None:
        """Keep the connection if the body was read to its end, and close it otherwise."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if self._has_ended and not self._fault and not self.should_close():
            self._origin.keep(channel)
        else:
            self._origin.leave(channel)

    def _receive(self) -> int:
        """Wait for bytes and take them in; returns how many there were."""
        if self._fault:
            raise HTTPParseError(self._fault)
        if self._channel is None:
            raise HTTPParseError("the connection is closed")
        data = self._channel.recv(_PIECE_BYTES)
        try:
            self.feed(data)
        except HTTPParseError as fault:
            if not self.headers_complete and data:
                raise
            self._fault = str(fault.args[0])  # told after what came before it; after the end nobody asks
        if not data and not self._has_ended:
            where = "in the middle of the answer" if self.headers_complete else "before an answer"
            raise HTTPParseError(f"the connection ended {where}")
        return len(data)

    def _on_message_begin(self) -> None:
        if self._has_ended:
            raise HTTPParseError("the provider says more than it was asked")
        super()._on_message_begin()

    def _on_body(self, buf: bytearray) -> None:
        self._arrived.append(buf)

    def _on_message_complete(self) -> None:
        super()._on_message_complete()
        self._has_ended = self.get_code() >= 200


@lru_cache(maxsize=16)
def _trusting(certificates: str) -> ssl.SSLContext:
    """Return what verifies servers by the certificates in a file; to read them takes some 20 ms."""
    try:
        return ssl.create_default_context(cafile=certificates)
    except OSError as error:
        raise OSError(f"{certificates} has no certificates that can be read: {error}") from None


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return _Target(parts.scheme, parts.hostname or "", port, path, parts.netloc.rpartition("@")[2])


def _send(channel: socket.socket, asking: Asking) -> None:
    """Send a request whole; a provider that refuses a large body may close before it has it all, and have answered."""
    body = cast("bytes", asking.body or b"")
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    with suppress(BrokenPipeError):
        if len(body) <= _ONE_SEND_BYTES:
            data = b"".join((asking.head, length, b"\r\n", body))
            sent = channel.send(data)  # most often that is all of it
            if sent < len(data):
                channel.sendall(memoryview(data)[sent:])
        else:
            channel.sendall(b"".join((asking.head, length, b"\r\n")))
            channel.sendall(body)
    dialing.note_sent()


def _is_quiet(channel: socket.socket) -> bool:
    """Whether a free connection is still open: one that was closed, or that says something unasked, is readable."""
    poll = monkey.get_original("select", "poll")()  # gevent's own would let others run in between
    poll.register(channel.fileno(), select.POLLIN)
    return not poll.poll(0)


def _inflated(inflating: Any, piece: bytes) -> bytes:
    try:
        inflated: bytes = inflating.decompress(piece, _MOST_INFLATED_BYTES)
    except zlib.error as error:
        raise HTTPParseError(f"the answer cannot be decompressed: {error}") from None
    return inflated
