"""The load: so many connections that each send the next request when the last is answered.

`python -m bench.load` reads a `Job` as JSON from stdin and prints a `Result` as JSON.
"""

import asyncio
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import orjson

from bench.loops import run

_CHUNKED_END: Final = b"0\r\n\r\n"
_ENDS: Final = (b"[DONE]", b"message_stop")  # a stream that ends with an error began with 200 like any other
_TAIL_BYTES: Final = 256
_LAST_ANSWER_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Job:
    """What is asked, by how many, and until when: `seconds`, or so many `requests` on each connection if not 0."""

    url: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    requests: int = 0


@dataclass
class Result:
    """Counts, and milliseconds of the answers that came whole: until their end and until their first byte of body.

    `cpu_seconds` is what the load itself used; `failure` is the head of the first answer that was not whole.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    failed: int = 0
    failure: str = ""
    whole_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One keep-alive connection in a closed loop."""

    def __init__(self, request: bytes, result: Result, ends: float, requests: int) -> None:
        self._request = request
        self._result = result
        self._ends = ends
        self._left = requests or sys.maxsize
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
        self._send()

    def _send(self) -> None:
        self._head = b""
        self._tail = b""
        self._left_bytes = 0
        self._first = 0.0
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the first bytes of the body, and go on when the answer is whole."""
        if not self._first:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            self._head = data if end < 0 else data[:end].lower()
            if end < 0:
                return
            length = self._head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._left_bytes = int(length) if length else -1
            data = data[end + 4 :]
            if not data:
                self._head += b"\r\n\r\n"  # the body comes with the next bytes
                return
            self._first = time.perf_counter()
        if self._left_bytes >= 0:
            self._left_bytes -= len(data)
            if self._left_bytes <= 0:
                self._answered(whole=True)
            return
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self._tail.endswith(_CHUNKED_END):
            streamed = b"event-stream" in self._head
            self._answered(whole=not streamed or any(end in self._tail for end in _ENDS))

    def _answered(self, *, whole: bool) -> None:
        now = time.perf_counter()
        if whole and self._head.startswith(b"http/1.1 200"):
            self._result.whole_ms.append((now - self._began) * 1000)
            self._result.first_ms.append((self._first - self._began) * 1000)
        else:
            self._failed()
        self._left -= 1
        if self._left and now < self._ends:
            self._send()
        elif not self.over.done():
            self.over.set_result(None)

    def _failed(self) -> None:
        self._result.failed += 1
        self._result.failure = self._result.failure or (self._head + b" ... " + self._tail).decode(errors="replace")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that ended before it was over."""
        if not self.over.done():
            self._failed()
            self.over.set_result(None)


async def load(job: Job) -> Result:
    """Return what the load saw."""
    parts = urlsplit(job.url)
    host, port = parts.hostname or "", parts.port or 80
    body = job.body.encode()
    headers = {"Host": f"{host}:{port}", "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (headers | job.headers).items())]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    result = Result()
    loop = asyncio.get_running_loop()
    began, used = time.perf_counter(), time.process_time()
    callers = [
        (await loop.create_connection(lambda: Caller(request, result, began + job.seconds, job.requests), host, port))[
            1
        ]
        for _ in range(job.connections)
    ]
    _, unanswered = await asyncio.wait([caller.over for caller in callers], timeout=job.seconds + _LAST_ANSWER_SECONDS)
    result.seconds = time.perf_counter() - began
    result.cpu_seconds = time.process_time() - used
    result.failed += len(unanswered)
    return result


if __name__ == "__main__":
    found = run(load(Job(**orjson.loads(sys.stdin.buffer.read()))))
    sys.stdout.buffer.write(orjson.dumps(asdict(found)))
