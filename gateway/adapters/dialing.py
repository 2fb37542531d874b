"""Connections that are made only to addresses which may be called.

The name is resolved once, every address is judged, and the connection goes to the very address that was judged, so that
a name cannot point elsewhere between the check and the call (DNS rebinding).
"""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from gateway.errors import let_go
from registry.addresses import verdict

Found = Sequence[tuple[Any, ...]]
"""What `socket.getaddrinfo` says of a name."""


class NotReached(OSError):
    """There is no connection to a host; the text says why."""


def resolved(host: str, port: int) -> Found:
    """Return the addresses of a host; raises `NotReached`."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        # gevent's resolver remembers its last error, and this frame and the request in those above with it
        raise NotReached(f"{host} has no address: {let_go(error)}") from None


def dial(host: str, found: Found, *, seconds: float | None, private_allowed: bool) -> socket.socket:
    """Return a connected socket to the first of the addresses that answers; raises `NotReached`.

    One that may not be called keeps the host from being called at all. Each has so many seconds.
    """
    addresses = {str(address[0]) for *_, address in found}
    refusal = next((reason for each in addresses if (reason := verdict(each, private_allowed=private_allowed))), "")
    if refusal:
        raise NotReached(f"{host} may not be called: {refusal}")
    fault = ""  # not the error: its frames hold this one
    for family, kind, protocol, _, address in found:
        channel = socket.socket(family, kind, protocol)
        with ExitStack() as undo:
            undo.callback(channel.close)
            try:
                channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                channel.settimeout(seconds)
                channel.connect(address)
            except OSError as error:
                fault = str(error)
                continue
            undo.pop_all()
            return channel
    raise NotReached(f"{host} does not answer: {fault}")


class Asker(Protocol):
    """Who wants to know whether a request has gone out."""

    has_asked: bool


_asking = threading.local()  # of one greenlet, where threads are patched


@contextmanager
def noting_when_sent(asker: Asker) -> Iterator[None]:
    """Let the last byte of a request that is sent inside be noted, whatever becomes of its answer."""
    _asking.by = asker
    try:
        yield
    finally:
        _asking.by = None


def note_sent() -> None:
    """Note that the last byte has gone out."""
    if asker := getattr(_asking, "by", None):
        asker.has_asked = True


def _connected(connection: HTTPConnection, *, private_allowed: bool) -> socket.socket:
    """Return the socket of one of urllib3's connections."""
    host = connection._dns_host.strip("[]")  # noqa: SLF001 - urllib3's hook is private
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else None
    try:
        return dial(host, resolved(host, connection.port), seconds=seconds, private_allowed=private_allowed)
    except NotReached as fault:
        raise NewConnectionError(connection, str(fault)) from fault


def _pools(*, private_allowed: bool) -> Mapping[str, Any]:
    """Return urllib3's pools by scheme, with connections that are dialled here; TLS still verifies the host's name."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, private_allowed=private_allowed)

        def request(self, *args: Any, **kwargs: Any) -> None:
            super().request(*args, **kwargs)
            note_sent()

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, private_allowed=private_allowed)

        def request(self, *args: Any, **kwargs: Any) -> None:
            super().request(*args, **kwargs)
            note_sent()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


PUBLIC_ONLY: Final = _pools(private_allowed=False)
PRIVATE_TOO: Final = _pools(private_allowed=True)
