"""A fake provider that answers at once and costs almost nothing: `python -m bench.provider PORT`."""

import asyncio
import sys
from typing import Final

import orjson

EVENTS: Final = 100
_HEAD: Final = {"id": "chatcmpl-bench", "created": 1, "model": "bench"}
_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": EVENTS, "total_tokens": 10 + EVENTS}


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}
    body = orjson.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE})
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _event(choices: list[object], **more: object) -> bytes:
    event = b"data: " + orjson.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


WHOLE: Final = _whole()
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WORD: Final = _event([{"index": 0, "delta": {"content": " word"}, "finish_reason": None}])
STREAM_END: Final = (
    _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _event([], usage=_USAGE)
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Provider(asyncio.Protocol):
    """One connection: every POST gets the same answer, streamed if the body asks for it."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if b'"stream":true' not in body:
                self._transport.write(WHOLE)
            else:
                asyncio.get_running_loop().create_task(self._stream())

    async def _stream(self) -> None:
        self._transport.write(STREAM_HEAD)
        for _ in range(EVENTS):
            self._transport.write(WORD)
            await asyncio.sleep(self._pause)
        self._transport.write(STREAM_END)


async def serve(port: int, pause: float) -> None:
    """Serve until the process is ended; `pause` in seconds between two events of a stream."""
    server = await asyncio.get_running_loop().create_server(lambda: Provider(pause), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
