"""A scripted provider on a real socket: it answers like OpenAI, or misbehaves in exactly the way a test asks for."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True)
class Script:
    """How one request is answered: without `body` and `events` by a chat completion, streamed if that was asked for."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    events: Sequence[bytes] | None = None
    words: Sequence[str] = ("Hello", " from", " here")
    usage: Any = "as asked"  # or False, or the object itself
    delay: float = 0.0  # seconds before the headers
    pause: float = 0.0  # seconds before each event
    cut_after: int | None = None  # events that are sent before the connection breaks
    reset: bool = False  # break with RST instead of FIN
    split: int = 0  # send in pieces of so many bytes
    framing: str = "chunked"  # or "length", or "close"
    lie: int = 0  # bytes that Content-Length promises beside the truth
    silent: bool = False  # never answer
    silent_after: int | None = None  # events after which nothing more comes


@dataclass(slots=True)
class Received:
    """A request as it arrived; `left_after` is when its peer hung up before the answer was over, in seconds."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    left_after: float | None = None

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


class ScriptedProvider:
    """Serves on a free port of the loopback until it is left; `scripts` are used up one by one, the last one stays."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts: list[Script] = list(scripts) or [Script()]
        self.requests: list[Received] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._channels: set[socket.socket] = set()
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.close()
        with self._lock:
            for channel in self._channels:
                _close(channel)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._channels)

    def play(self, *scripts: Script) -> None:
        """Answer the next requests like this, the last of these from then on."""
        with self._lock:
            self.scripts = list(scripts)

    def start_afresh(self) -> None:
        """Forget all scripts and requests."""
        with self._lock:
            self.scripts, self.requests = [Script()], []

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._channels.add(channel)
            threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        try:
            with channel, channel.makefile("rb") as stream:
                while received := _read(stream):
                    with self._lock:
                        self.requests.append(received)
                        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                    if not self._answer(channel, received, script):
                        break
        except OSError:
            pass
        finally:
            with self._lock:
                self._channels.discard(channel)

    def _answer(self, channel: socket.socket, received: Received, script: Script) -> bool:
        """Play a script; returns whether the connection goes on."""
        try:
            if script.silent:
                self._wait(channel, received, 30.0)
                return False
            self._wait(channel, received, script.delay)
            pieces = list(_pieces(script, received))
            send = _framed(channel, script, sum(map(len, pieces)))
            for index, piece in enumerate(pieces):
                if index == script.cut_after:
                    _cut(channel, reset=script.reset)
                    return False
                if index == script.silent_after:
                    self._wait(channel, received, 30.0)
                    return False
                self._wait(channel, received, script.pause)
                for part in _parts(piece, script.split):
                    send(part)
            if script.framing == "chunked":
                channel.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            received.left_after = time.monotonic() - received.at
            return False
        return script.framing != "close" and not script.lie

    def _wait(self, channel: socket.socket, received: Received, seconds: float) -> None:
        """Sleep, but notice when the other side hangs up."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and not self._over.is_set():
            channel.settimeout(min(left, 0.05))
            try:
                if channel.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionResetError
                self._over.wait(min(left, 0.05))
            except TimeoutError:
                continue
            finally:
                channel.settimeout(None)


def error(status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> Script:
    """Return a script that refuses in OpenAI's shape."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Script(status=status, body=orjson.dumps(body), headers=headers or {}, framing="length")


def chat_events(words: Sequence[str], usage: Any) -> Iterator[bytes]:
    """Yield the events of a streamed chat completion; `usage` is an object, or None for none."""
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words), {}]
    for index, delta in enumerate(deltas):
        reason = "stop" if index == len(deltas) - 1 else None
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"
    if usage:
        yield b"data: " + orjson.dumps({**head, "choices": [], "usage": usage}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def chat_answer(words: Sequence[str], usage: Any) -> bytes:
    """Return a whole chat completion."""
    message = {"role": "assistant", "content": "".join(words)}
    answer = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return orjson.dumps(answer | ({"usage": usage} if usage else {}))


def _pieces(script: Script, received: Received) -> Iterator[bytes]:
    if script.body is not None:
        yield script.body
    elif script.events is not None:
        yield from script.events
    else:
        asked = received.json
        count = len(script.words)
        counted = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
        usage = counted if script.usage == "as asked" else script.usage
        if not asked.get("stream"):
            yield chat_answer(script.words, usage)
        else:
            wants = (asked.get("stream_options") or {}).get("include_usage") or script.usage != "as asked"
            yield from chat_events(script.words, usage if wants else None)


def _framed(channel: socket.socket, script: Script, length: int) -> Callable[[bytes], None]:
    is_stream = script.body is None and script.events is not None
    head = {"Content-Type": "text/event-stream" if is_stream else "application/json", **script.headers}
    if script.framing == "chunked":
        head["Transfer-Encoding"] = "chunked"
    elif script.framing == "length":
        head["Content-Length"] = str(length + script.lie)
    else:
        head["Connection"] = "close"
    lines = [f"HTTP/1.1 {script.status} Scripted", *(f"{name}: {value}" for name, value in head.items())]
    channel.sendall("\r\n".join([*lines, "", ""]).encode())
    if script.framing == "chunked":
        return lambda part: channel.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    return channel.sendall


def _parts(piece: bytes, size: int) -> Iterator[bytes]:
    step = size or len(piece) or 1
    return (piece[start : start + step] for start in range(0, len(piece), step))


def _read(stream: Any) -> Received | None:
    first = stream.readline()
    if not first:
        return None
    method, path, _ = first.decode().split(" ", 2)
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body, time.monotonic())


def _cut(channel: socket.socket, *, reset: bool) -> None:
    if reset:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(channel.detach())
    else:
        _close(channel)


def _close(channel: socket.socket) -> None:
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
    channel.close()
