"""A way to PostgreSQL or Redis that a test may block, without harm to anybody else who uses the server."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

Mood = Literal["well", "refusing", "hanging"]
_PIECE: Final = 65_536


class Proxy:
    """
    Passes bytes on to the server of a URL while it is `well`; `url` is that URL with the proxy's own address.

    When `refusing`, connections are reset, those that are open too. When `hanging`, connections are taken and what
    they bring is read, but nobody answers, whatever was asked before; what was asked meanwhile is lost.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        who = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = urlunsplit(parts._replace(netloc=f"{who}127.0.0.1:{self.port}"))
        self.mood: Mood = "well"
        self.taken = 0
        """How many connections it took so far."""
        self._open: set[socket.socket] = set()
        self._is_over = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def be(self, mood: Mood) -> None:
        """Be well, refusing or hanging from now on; connections that hung are reset when that ends."""
        before, self.mood = self.mood, mood
        if mood == "refusing" or before == "hanging":
            self._cut()

    def _cut(self) -> None:
        for channel in list(self._open):
            with suppress(OSError):  # it may have been closed by its peer
                channel.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._is_over:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            self.taken += 1
            threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        self._open.add(channel)
        try:
            with suppress(OSError), channel:
                if self.mood != "refusing":
                    self._pass(channel)
        finally:
            self._open.discard(channel)

    def _pass(self, channel: socket.socket) -> None:
        if self.mood == "hanging":
            while channel.recv(_PIECE):
                pass
            return
        with socket.create_connection(self._target) as server, selectors.DefaultSelector() as selector:
            selector.register(channel, selectors.EVENT_READ, (channel, server))
            selector.register(server, selectors.EVENT_READ, (server, channel))
            while True:
                for one, other in (key.data for key, _ in selector.select()):
                    piece = one.recv(_PIECE)
                    if not piece:
                        return
                    if self.mood == "well":
                        other.sendall(piece)
