"""A fake provider of streams that are slow and many: `python -m bench.slow_provider PORT EVENTS PAUSE`."""

import asyncio
import sys

from bench.provider import STREAM_END, STREAM_HEAD, WORD


class SlowProvider(asyncio.Protocol):
    """One connection: each request gets a stream of `events` words, `pause` seconds apart unless it says `hurry`."""

    def __init__(self, events: int, pause: float) -> None:
        self._events = events
        self._pause = pause
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Begin to answer when a request is complete."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length):
            self._buffer = b""
            self._left = self._events
            self._transport.write(STREAM_HEAD)
            self._speak(0.0 if b"hurry" in body else self._pause)

    def _speak(self, pause: float) -> None:
        """Say a word; by the loop's timers, since ten thousand tasks would take as much memory as the gateway."""
        if self._transport.is_closing():
            return
        self._transport.write(WORD if self._left else STREAM_END)
        self._left -= 1
        if self._left >= 0:
            asyncio.get_running_loop().call_later(pause, self._speak, pause)


async def serve(port: int, events: int, pause: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SlowProvider(events, pause), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
