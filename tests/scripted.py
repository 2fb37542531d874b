"""A scripted provider: HTTP/1.1 on a real socket, in threads of its own, well-behaved or not as its scripts say.

    with ScriptedProvider() as provider:
        provider.play(error(429, "slow down"), Script(chat_stream(["a", "b", "c"]), cut=Cut(after=3, how="reset")))

It is written by hand, because a server that keeps to the protocol cannot break it.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Final, Self, TypeVar

from tests.scripted_openai import like_openai
from tests.scripted_script import Event, Received, Says, Script, Tokens

_STOP_SECONDS: Final = 5.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ClosedEarly:
    """A caller that hung up before its answer was over: when, seconds after asking, and how many events it was sent."""

    at: float
    after: float
    events: int


class ScriptedProvider:
    """Serves on a free port of 127.0.0.1 while it is used as a context; afterwards that address refuses connections.

    Each request is answered by the next of `script`, and by `default` when there is none left. No wait is longer than
    `patience` seconds, be it for a request or a silence that a script asks for.
    """

    def __init__(self, default: Says | Script = like_openai, *, patience: float = 30.0) -> None:
        self.default = self._usual = default
        self.patience = patience
        self.script: list[Says | Script] = []
        self.requests: list[Received] = []
        self.closed_early: list[ClosedEarly] = []
        self._said: list[list[Event]] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._is_stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close every connection and refuse new ones from now on."""
        if self._is_stopping:
            return
        self._is_stopping = True
        with self._listener:
            socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the thread that accepts
            self._threads[0].join(_STOP_SECONDS)
        with self._changed:
            for channel in self._open:
                with suppress(OSError):  # it may have been closed by its peer
                    channel.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
            assert not thread.is_alive(), "a scripted provider does not stop"

    def play(self, *script: Says | Script) -> None:
        """Answer the next requests like this, one after the other."""
        with self._changed:
            self.script += script

    def start_afresh(self) -> None:
        """Forget what was to be played and what was received; answer by the first default again."""
        with self._changed:
            self.default = self._usual
            for kept in (self.script, self.requests, self.closed_early, self._said):
                kept.clear()

    @property
    def open_connections(self) -> int:
        """How many connections are open now, the idle ones of a pool among them."""
        return len(self._open)

    @property
    def counted(self) -> Tokens:
        """The tokens of all answers: the last usage that each told, never below 0, or else the output that it sent."""
        with self._changed:
            each = [_counted(events) for events in self._said]
        return Tokens(*(sum(getattr(tokens, name) for tokens in each) for name in ("input", "output", "cached")))

    def wait_until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait until something holds that is told by this provider's state; AssertionError when it does not."""
        with self._changed:
            assert self._changed.wait_for(holds, seconds), (
                f"not within {seconds} s: {len(self.requests)} requests, {self.open_connections} open connections,"
                f" {self.counted}, {self.closed_early}"
            )

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            channel, _ = self._listener.accept()
            if self._is_stopping:
                channel.close()
                return
            self._note(self._open.add, channel)
            self._start(self._serve, channel, len(self._threads))

    def _serve(self, channel: socket.socket, connection: int) -> None:
        channel.settimeout(self.patience)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            # a peer that resets, or does nothing for too long, ends the connection
            with suppress(OSError), channel, channel.makefile("rb") as reader:
                while (received := _read(reader, connection)) and self._answer(channel, received):
                    pass
        finally:
            self._note(self._open.remove, channel)

    def _note(self, change: Callable[[_T], None], value: _T) -> None:
        with self._changed:
            change(value)
            self._changed.notify_all()

    def _answer(self, channel: socket.socket, received: Received) -> bool:
        """Answer a request; returns whether the connection may bring another."""
        said: list[Event] = []
        with self._changed:
            script = self.script.pop(0) if self.script else self.default
            self.requests.append(received)
            self._said.append(said)
            self._changed.notify_all()
        plan = (script if isinstance(script, Script) else Script(script)).plan(received)
        try:
            for step in plan.steps:
                if step.pause or step.completes:  # the end of the chunks may find a caller gone who has all events
                    _wait(channel, step.pause)
                if step.completes:  # counted before it is sent, so that who has read it finds it counted
                    self._note(said.append, step.completes)
                channel.sendall(step.raw)
            if plan.ending == "silence":
                _wait(channel, self.patience)
        except (BrokenPipeError, ConnectionResetError):
            if not self._is_stopping:
                now = time.monotonic()
                self._note(self.closed_early.append, ClosedEarly(now, now - received.at, len(said)))
            return False
        if plan.ending == "reset":
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return plan.ending == "keep"


def _read(reader: BinaryIO, connection: int) -> Received | None:
    """Read a request; None when the peer is done, or leaves in the middle of one."""
    first = reader.readline()
    if not first.endswith(b"\r\n"):
        return None
    method, path, _ = first.decode("latin-1").split()
    headers = tuple(_headers(reader))
    length = int({name.lower(): value for name, value in headers}.get("content-length", 0))
    body = reader.read(length)
    return Received(method, path, headers, body, connection, time.monotonic()) if len(body) == length else None


def _headers(reader: BinaryIO) -> Iterator[tuple[str, str]]:
    while (line := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        yield name, value.strip()


def _wait(channel: socket.socket, seconds: float) -> None:
    """Wait, but no longer than the peer does; raises ConnectionResetError when it hangs up."""
    poller = select.poll()
    poller.register(channel, select.POLLRDHUP)
    if poller.poll(seconds * 1000):
        raise ConnectionResetError


def _counted(events: list[Event]) -> Tokens:
    told = [event.usage for event in events if event.usage]
    if not told:
        return Tokens(0, sum(event.output for event in events))
    return Tokens(max(0, told[-1].input), max(0, told[-1].output), max(0, told[-1].cached))
