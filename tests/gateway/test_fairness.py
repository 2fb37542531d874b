"""No caller and no provider that is always ready keeps the others of a worker waiting."""

import socket
import threading
import time

import requests

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.server import Gateway

REQUESTS = 3000


def test_it_works(gateway: Gateway) -> None:
    """A connection on which the next request is always there already gives way after each of them."""
    busy = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    answers: list[float] = []

    def count() -> None:
        seen = 0
        while seen < REQUESTS and (piece := busy.recv(65536)):
            seen += piece.count(b"HTTP/1.1 200")
            answers.append(time.monotonic())

    reader = threading.Thread(target=count)
    reader.start()
    busy.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n" * REQUESTS)
    assert requests.get(f"{gateway.url}/health", timeout=30).ok
    answered_at = time.monotonic()
    reader.join()
    busy.close()
    assert answered_at < answers[-1]


def test_a_stream_faster_than_its_reader(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Where the events of a stream are all there, others are answered between them."""
    provider.play(chat_stream([" word"] * 60_000, include_usage=False))
    answer = gateway.post(stream=True)
    pieces = answer.iter_content(65536)
    next(pieces)
    ended: list[float] = []

    def read() -> None:
        for _ in pieces:
            pass
        ended.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    assert requests.get(f"{gateway.url}/health", timeout=30).ok
    answered_at = time.monotonic()
    reader.join()
    assert answered_at < ended[0]
