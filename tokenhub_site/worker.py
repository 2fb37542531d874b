"""Gunicorn's gevent worker with an orderly end: idle connections close at once, streams may finish until a deadline."""

from __future__ import annotations

import errno
import gc
import re
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar, Final, Self

import gevent
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidResponseHeader, NoMoreData
from gunicorn.util import hop_headers
from gunicorn.workers.ggevent import GeventWorker

from gateway import drain
from tokenhub_site import refusals
from tokenhub_site.gunicorn_conf import drain_deadline, lame_duck
from tokenhub_site.plain_requests import PlainParser

_LAST_IDLE_SECONDS: Final = 1.0
# A full collection looks at each object of each open stream and holds up all of them meanwhile: for a second and more
# where there are thousands. Requests leave no circles, so there is next to nothing to find.
_COLLECT_AFTER: Final = (1_000, 20, 50)
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class GatewayWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker that is told to stop by SIGTERM."""

    cfg: Any

    def run(self) -> None:
        """Serve until told to stop and all answers are out, and then do what is left to do."""
        gc.collect()
        gc.freeze()  # what is loaded by now stays
        gc.set_threshold(*_COLLECT_AFTER)
        super().run()
        drain.over()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that the worker is stopping, at once; and stop when those who ask have had the time to hear it."""
        if drain.is_draining():
            return
        drain.begin(lame_duck + drain_deadline)
        if lame_duck:
            gevent.get_hub().loop.timer(lame_duck).start(self._leave)
        else:
            gevent.get_hub().loop.run_callback(self._leave)

    def _leave(self) -> None:
        """Accept nothing more: gunicorn waits for what is under way, and the process ends. Called from the hub."""
        self.alive = False
        IdleWait.end_all()

    def init_process(self) -> None:
        """Look up the settings once: gunicorn asks some fifty of them for every request."""
        self.cfg = _LookedUp(self.cfg)
        super().init_process()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Answer the requests of a connection until either side closes it; HTTP/1 without TLS is all that is spoken."""
        client.setblocking(True)  # noqa: FBT003 - the socket's own signature
        req = None
        try:
            listener_name = listener.getsockname()
            parser = PlainParser(self.cfg, client, addr)
            idle = IdleWait(self)
            while True:
                req = None
                with idle:
                    req = next(parser)
                if req is None:
                    break
                req.proxy_protocol_info = {}
                if not self.handle_request(listener_name, req, client, addr):
                    parser.finish_body()  # or the answer would be lost with a connection that has unread bytes
                    break
        except (StopIteration, NoMoreData):
            pass
        except OSError as error:
            if error.errno not in _GONE:
                self.log.exception("Socket error processing request.")
        except BaseException as error:  # noqa: BLE001 - none may leave without a word, whatever it was
            self.handle_error(req, client, addr, error)
        finally:
            client.close()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> bool:
        """Answer a request; returns whether the connection may serve another.

        In place of gunicorn's own, which serves what is not used here: hooks, access logs, recycling, files.
        """
        answer, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, response_class=Answer)
        environ["wsgi.multithread"] = True
        if not self.cfg.keepalive:
            answer.force_close()
        try:
            pieces = self.wsgi(environ, answer.start_response)
            try:
                for piece in pieces:
                    answer.write(piece)
                answer.close()
            finally:
                pieces.close()
        except (gevent.GreenletExit, SystemExit):
            return False
        finally:
            req.has_answer = answer.has_begun
        return not answer.should_close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse what is no request, or tell of a fault; of the former the log has the kind and none of the bytes.

        Where an answer has begun there is no second one: it would be written into half of the first.
        """
        told, request_id = refusals.refusal_of(exc), refusals.new_id()
        extra = {"request_id": request_id}
        if told.status == 500:
            self.log.error("Error handling request", exc_info=exc, extra=extra)
        else:
            where = addr[0] if addr else ""  # a Unix socket has no address
            self.log.warning("Invalid request from ip=%s: %s", where, type(exc).__name__, extra=extra)
        if getattr(req, "has_answer", False):
            return
        request = req or getattr(exc, "req", None)
        with suppress(OSError):  # it may have hung up by itself
            client.sendall(refusals.written(told, getattr(request, "path", ""), request_id))
            refusals.hang_up(client)


class Answer(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer whose head goes out together with the first of its body.

    A caller who does not take it is gone, however open the connection is.
    """

    _head = b""
    headers: list[tuple[str, str]]
    headers_sent: bool

    def send_headers(self) -> None:
        """Write the head down; it is sent with what comes next."""
        if self.headers_sent:
            return
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self._head = "".join(lines).encode("latin-1")
        self.headers = []  # a stream may be open for long
        self.headers_sent = True

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take the headers of the application, as gunicorn does: names are ours, but a value may be a provider's."""
        for name, value in headers:
            if not _VALUE.fullmatch(value):
                raise InvalidResponseHeader(name)
            lower = name.lower()
            if lower == "content-length":
                self.response_length = int(value)
            if lower not in hop_headers:
                self.headers.append((name, value))

    def should_close(self) -> bool:
        """Whether this is the last answer of its connection, as it is for all of a worker that is stopping."""
        return drain.is_draining() or bool(super().should_close())

    def write(self, arg: bytes) -> None:
        """Send a piece of the body, where the method and the status have one."""
        if self._omits_body:
            self.send_headers()
        else:
            super().write(arg)

    @property
    def has_begun(self) -> bool:
        """Whether any of it has gone out."""
        return self.headers_sent and not self._head

    def close(self) -> None:
        """Send what there is left, and the end of the body."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        elif self._head:
            self._send(b"")

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        data = head + data if head else data
        try:
            sent = self.sock.send(data)  # most often that is all of it
            if sent < len(data):
                self.sock.sendall(memoryview(data)[sent:])
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "the caller does not read") from error


class _LookedUp:
    """Gunicorn's settings as plain attributes; what else they are asked for is theirs."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        vars(self).update({name: getattr(settings, name) for name in settings.settings})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


class IdleWait:
    """A connection's waits for the next request, which end quietly after some seconds, or when the worker stops."""

    _open: ClassVar[set[IdleWait]] = set()

    def __init__(self, worker: GatewayWorker) -> None:
        self._worker = worker
        self._loop = gevent.get_hub().loop
        self._turn = 0

    def __enter__(self) -> Self:
        if self._turn == self._loop.iteration:  # nobody else has run since the last request
            gevent.sleep(0)
        self._turn = self._loop.iteration
        self._greenlet = gevent.getcurrent()
        seconds = self._worker.cfg.keepalive if self._worker.alive else _LAST_IDLE_SECONDS
        self._timer = gevent.Timeout.start_new(seconds, False)  # noqa: FBT003 - gevent's way to say "quietly"
        IdleWait._open.add(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        IdleWait._open.discard(self)
        self._timer.close()
        return error is self._timer

    @classmethod
    def end_all(cls) -> None:
        """End the waits of all connections; called from the hub."""
        for wait in list(cls._open):
            wait.end()

    def end(self) -> None:
        """End this wait; called from the hub."""
        self._greenlet.throw(self._timer)
