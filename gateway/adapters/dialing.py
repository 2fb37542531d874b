"""Connections that are made only to addresses which may be called.

The name is resolved once, every address is judged, and the connection goes to the very address that was judged, so that
a name cannot point elsewhere between the check and the call (DNS rebinding).
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from registry.addresses import verdict


class AddressRefused(NewConnectionError):
    """The name leads to an address that the gateway does not call."""


def dial(connection: HTTPConnection, *, private_allowed: bool) -> socket.socket:
    """Return a connected socket to the first address of the host that may be called and answers."""
    host = connection._dns_host.strip("[]")  # noqa: SLF001 - urllib3's hook is private
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NewConnectionError(connection, f"{host} has no address: {error}") from error
    refusal = next(
        (reason for *_, address in found if (reason := verdict(str(address[0]), private_allowed=private_allowed))), ""
    )
    if refusal:
        raise AddressRefused(connection, f"{host} may not be called: {refusal}")
    fault: OSError | None = None
    for family, kind, protocol, _, address in found:
        channel = socket.socket(family, kind, protocol)
        with ExitStack() as undo:
            undo.callback(channel.close)
            try:
                _prepare(channel, connection)
                channel.connect(address)
            except OSError as error:
                fault = error
                continue
            undo.pop_all()
            return channel
    raise NewConnectionError(connection, f"{host} does not answer: {fault}") from fault


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


def _note_sent() -> None:
    if asker := getattr(_asking, "by", None):
        asker.has_asked = True


def _prepare(channel: socket.socket, connection: HTTPConnection) -> None:
    for option in connection.socket_options or ():
        channel.setsockopt(*option)
    if isinstance(connection.timeout, int | float):
        channel.settimeout(connection.timeout)


def _pools(*, private_allowed: bool) -> Mapping[str, Any]:
    """Return urllib3's pools by scheme, with connections that are dialled here; TLS still verifies the host's name."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self, private_allowed=private_allowed)

        def request(self, *args: Any, **kwargs: Any) -> None:
            super().request(*args, **kwargs)
            _note_sent()

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self, private_allowed=private_allowed)

        def request(self, *args: Any, **kwargs: Any) -> None:
            super().request(*args, **kwargs)
            _note_sent()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


PUBLIC_ONLY: Final = _pools(private_allowed=False)
PRIVATE_TOO: Final = _pools(private_allowed=True)
