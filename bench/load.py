"""The load: so many connections that each send the next request when the last is answered.

`python -m bench.load URL BODY CONNECTIONS SECONDS REQUESTS KEY` prints a `Result` as JSON. It ends after the seconds
or, where REQUESTS is not 0, after that many requests on each connection. KEY is a client's key, or empty.
"""

import asyncio
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

import orjson

_CHUNKED_END: Final = b"\r\n0\r\n\r\n"
_LAST_ANSWER_SECONDS: Final = 30.0


@dataclass
class Result:
    """Counts, and milliseconds of the answers that came whole: until their end and until their first byte of body."""

    seconds: float = 0.0
    failed: int = 0
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
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._buffer = b""
        self._needs = -1
        self._first = 0.0
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the first bytes of the body, and go on when the answer is whole."""
        self._buffer += data
        if self._needs < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._needs = end + 4 + int(length) if length else 0
            self._body = end + 4
        if not self._first and len(self._buffer) > self._body:
            self._first = time.perf_counter()
        if len(self._buffer) >= self._needs if self._needs else self._buffer.endswith(_CHUNKED_END):
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        # a stream that ends with an error instead of [DONE] began with 200 like any other
        if self._buffer.startswith(b"HTTP/1.1 200") and (self._needs or b"[DONE]" in self._buffer[-32:]):
            self._result.whole_ms.append((now - self._began) * 1000)
            self._result.first_ms.append((self._first - self._began) * 1000)
        else:
            self._result.failed += 1
        self._left -= 1
        if self._left and now < self._ends:
            self._send()
        elif not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that ended before it was over."""
        if not self.over.done():
            self._result.failed += 1
            self.over.set_result(None)


async def load(url: str, body: bytes, *, connections: int, seconds: float, requests: int = 0, key: str = "") -> Result:
    """Return what the load saw."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    head = f"POST {parts.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    if key:
        head += f"\r\nAuthorization: Bearer {key}"
    request = head.encode() + b"\r\n\r\n" + body
    result = Result()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(request, result, began + seconds, requests), host, port))[1]
        for _ in range(connections)
    ]
    _, unanswered = await asyncio.wait([caller.over for caller in callers], timeout=seconds + _LAST_ANSWER_SECONDS)
    result.seconds = time.perf_counter() - began
    result.failed += len(unanswered)
    return result


if __name__ == "__main__":
    url, body, connections, seconds, requests, key = sys.argv[1:]
    found = asyncio.run(
        load(url, body.encode(), connections=int(connections), seconds=float(seconds), requests=int(requests), key=key)
    )
    sys.stdout.buffer.write(orjson.dumps(asdict(found)))
