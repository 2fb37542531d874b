"""A fake provider that answers at once and costs almost nothing: `python -m bench.provider PORT PAUSE`."""

import asyncio
import re
import sys
from typing import Final, cast

import orjson

from bench.loops import run

EVENTS: Final = 102
"""The events of a stream, in either format; OpenAI's `[DONE]` is not counted."""
_STREAMED: Final = re.compile(rb'"stream": ?true')
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"transfer-encoding: *chunked", re.IGNORECASE)
_CHUNKED_END: Final = b"0\r\n\r\n"
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TEXT: Final = "word " * 20
_OPENAI_HEAD: Final = {"id": "chatcmpl-bench", "created": 1, "model": "bench"}
_OPENAI_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": EVENTS, "total_tokens": 10 + EVENTS}


def _whole(answer: object) -> bytes:
    body = orjson.dumps(answer)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _openai_event(choices: list[object], **more: object) -> bytes:
    data = orjson.dumps({**_OPENAI_HEAD, "object": "chat.completion.chunk", "choices": choices, **more})
    return _chunk(b"data: " + data + b"\n\n")


def _openai_choice(reason: str | None = None, **delta: str) -> bytes:
    return _openai_event([{"index": 0, "delta": delta, "finish_reason": reason}])


def _openai_whole() -> bytes:
    message = {"role": "assistant", "content": _TEXT}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return _whole({**_OPENAI_HEAD, "object": "chat.completion", "choices": choices, "usage": _OPENAI_USAGE})


def _anthropic() -> tuple[bytes, tuple[bytes, ...]]:
    """Return a whole answer, and the pieces of a streamed one."""
    head = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench", "stop_sequence": None}
    usage = {"input_tokens": 10, "output_tokens": EVENTS}

    def event(kind: str, **more: object) -> bytes:
        return _chunk(b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **more})))

    content = [{"type": "text", "text": _TEXT}]
    whole = _whole({**head, "content": content, "stop_reason": "end_turn", "usage": usage})
    first = event("message_start", message={**head, "content": [], "stop_reason": None, "usage": usage})
    first += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    word = event("content_block_delta", index=0, delta={"type": "text_delta", "text": " word"})
    reason = {"stop_reason": "end_turn", "stop_sequence": None}
    ending = event("content_block_stop", index=0) + event("message_delta", delta=reason, usage=usage)
    return whole, (first, *[word] * (EVENTS - 5), ending + event("message_stop") + _CHUNKED_END)


WORD: Final = _openai_choice(content=" word")
STREAM_END: Final = (
    _openai_choice("stop") + _openai_event([], usage=_OPENAI_USAGE) + _chunk(b"data: [DONE]\n\n") + _CHUNKED_END
)
_OPENAI_PIECES: Final = (_openai_choice(role="assistant", content=""), *[WORD] * (EVENTS - 3), STREAM_END)
# By the end of the path that is asked; every other path is answered in OpenAI's format.
_ANSWERS: Final = {b"/messages": _anthropic(), b"": (_openai_whole(), _OPENAI_PIECES)}


class Provider(asyncio.Protocol):
    """One connection: every request gets the same answer, streamed if its body asks for it."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._buffer = bytearray()
        self._needs = 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer when the request is complete; nobody here sends a second before the first is answered."""
        self._buffer += data
        if len(self._buffer) < self._needs:
            return
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        self._needs = end + int(length[1]) if length else end
        if len(self._buffer) < self._needs or (not length and not self._ended(end)):
            return
        path = self._buffer[: self._buffer.find(b" HTTP/1.1")].partition(b"?")[0]
        whole, pieces = next(answer for suffix, answer in _ANSWERS.items() if path.endswith(suffix))
        streamed = _STREAMED.search(self._buffer, end)
        self._buffer.clear()
        self._needs = 0
        if not streamed:
            self._transport.write(whole)
            return
        self._transport.write(STREAM_HEAD)
        self._stream(pieces, 0)

    def _ended(self, end: int) -> bool:
        """Whether a body of chunks is complete; a request that has no length and no chunks has no body."""
        return self._buffer.endswith(_CHUNKED_END) if _CHUNKED.search(self._buffer, 0, end) else True

    def _stream(self, pieces: tuple[bytes, ...], index: int) -> None:
        """Send a piece, and the next after the pause."""
        if self._transport.is_closing():
            return
        self._transport.write(pieces[index])
        if index + 1 < len(pieces):
            self._loop.call_later(self._pause, self._stream, pieces, index + 1)


async def serve(port: int, pause: float) -> None:
    """Serve until the process is ended; `pause` in seconds between two pieces of a stream."""
    server = await asyncio.get_running_loop().create_server(lambda: Provider(pause), "127.0.0.1", port, backlog=16384)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), float(sys.argv[2])))
