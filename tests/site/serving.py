"""Serves one connection as a worker does, under gevent, and prints what came of it as JSON.

`python -m tests.site.serving BODY …` answers each request with the pieces of a body, each an argument; `!` raises in
its place. What came is `said`, all that the caller received, and `left`: what is there of requests and answers
afterwards, without the collector's help.
"""

from tokenhub_site import gunicorn_conf  # isort: skip # noqa: F401 - patches, before anything else is imported

import gc
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator

import django
from gevent import spawn
from gunicorn.config import Config
from gunicorn.http.message import Request

django.setup()

from tokenhub_site.worker import Answer, GatewayWorker  # noqa: E402 - settings come first

REQUEST = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer th_a_b\r\n\r\n"


class Body:
    """An answer as an application gives it."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for piece in sys.argv[1:]:
            if piece == "!":
                raise RuntimeError("the application failed")
            yield piece.encode()

    def close(self) -> None:
        """Nothing is held."""


def application(environ: dict[str, object], start_response: Callable[..., object]) -> Body:
    """Answer everything."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "upgrade")])
    return Body()


def serve() -> dict[str, object]:
    """Serve three requests of one connection."""
    worker = GatewayWorker.__new__(GatewayWorker)
    worker.cfg, worker.alive, worker.wsgi, worker.log = Config(), True, application, logging.getLogger("x")
    caller, here = socket.socketpair()
    with caller, socket.create_server(("127.0.0.1", 0)) as listener:
        serving = spawn(worker.handle, listener, here, ("127.0.0.1", 1))
        caller.sendall(REQUEST * 3)
        caller.shutdown(socket.SHUT_WR)
        said = b""
        while piece := caller.recv(65536):
            said += piece
        serving.join()
    left = sum(isinstance(each, (Answer, Request)) for each in gc.get_objects())
    return {"said": said.decode("latin-1"), "left": left}


if __name__ == "__main__":
    gc.collect()
    gc.disable()
    print(json.dumps(serve()))
