"""Under gevent a provider is called over the light adapter: connections are kept, looked at, judged and encrypted."""

import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import dialing
from gateway.adapters.cooperative import _Origin
from tests.gateway.test_tls import certificate  # noqa: F401 - a fixture
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream
from tests.scripted_script import HANG, Script, raw, redirect
from tests.server import ROOT

Call = Callable[..., dict[str, Any]]
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    """What calls a URL from a process of its own, in which gevent has patched everything."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.calling"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        asking, answered = process.stdin, process.stdout
        assert asking is not None
        assert answered is not None

        def called(url: str, *, bundle: Path | str = "", **more: Any) -> dict[str, Any]:
            asked = {"url": url, "private": True, "size": 2, "bundle": str(bundle), "seconds": 5} | more
            asking.write(f"{json.dumps(asked)}\n")
            told: dict[str, Any] = json.loads(answered.readline())
            return told

        yield called
        asking.close()


class Served:
    """A server that answers each connection with the next list of raw answers, one to a request, and then closes it."""

    def __init__(self, connections: Sequence[Sequence[bytes]], context: ssl.SSLContext | None) -> None:
        self._connections = connections
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received: list[bytes] = []
        self.resumed: list[bool] = []
        self.closed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._connections:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # it is over
                return
            channel.settimeout(5)
            try:
                secured = self._context.wrap_socket(channel, server_side=True) if self._context else channel
                if isinstance(secured, ssl.SSLSocket):
                    self.resumed.append(bool(secured.session_reused))
                with secured:
                    self._answer(secured, answers)
            except OSError:
                channel.close()
            self.closed.release()

    def _answer(self, channel: socket.socket, answers: Sequence[bytes]) -> None:
        for answer in answers:
            received = b""
            while not received.endswith(b'"}') and (piece := channel.recv(65536)):
                received += piece
            self.received.append(received)
            channel.sendall(answer)

    def stop(self) -> None:
        """Serve no more."""
        self._listener.close()


@contextmanager
def serving(*connections: Sequence[bytes], context: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Serve while a test runs."""
    served = Served(connections, context)
    try:
        yield served
    finally:
        served.stop()


def test_it_works(call: Call, provider: ScriptedProvider) -> None:
    provider.play(Script(chat(), framing="length"), Script(chat_stream(), framing="chunked"), raw(b"{}"))
    told = [call(f"{provider.url}/v1/chat/completions") for _ in range(3)]
    assert [each["status"] for each in told] == [200, 200, 200]
    first, *_ = provider.requests
    assert (first.method, first.path, first.header("host")) == (
        "POST",
        "/v1/chat/completions",
        f"127.0.0.1:{provider.port}",
    )
    assert (first.body, first.header("content-length"), first.header("user-agent")) == (b'{"x":"xx"}', "10", "tokenhub")
    assert len({each.connection for each in provider.requests}) == 1


def test_a_body_that_was_not_read_takes_its_connection_with_it(call: Call, provider: ScriptedProvider) -> None:
    provider.play(raw(b"x" * 2_000_000), raw(b"{}"))
    assert "more than" in call(provider.url)["text"]
    assert call(provider.url)["status"] == 200
    assert len({each.connection for each in provider.requests}) == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used(call: Call) -> None:
    with serving([WHOLE], [WHOLE]) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert call(url)["status"] == 200
        assert server.closed.acquire(timeout=5)
        assert call(url)["status"] == 200


def test_what_is_said_unasked_ends_a_connection(call: Call) -> None:
    with serving([WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], [WHOLE]) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert [call(url)["body"] for _ in range(2)] == ["{}", "{}"]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE, "{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED, "{}"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", "old"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ],
)
def test_every_framing_is_read(call: Call, answer: bytes, body: str) -> None:
    with serving([answer]) as server:
        assert call(f"http://127.0.0.1:{server.port}/")["body"] == body


@pytest.mark.parametrize(
    ("answer", "failure", "text"),
    [
        (b"", "Unreachable", "ended before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "Unreachable", "ended before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "Broken", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}", "Broken", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", "Broken", "chunk"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 300_000, "Unreachable", "too long"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "Unreachable", "HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nxx", "Unreachable", "nobody asked for"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "Broken", "be decompressed"),
    ],
)
def test_what_is_no_whole_answer_says_so(call: Call, answer: bytes, failure: str, text: str) -> None:
    with serving([answer]) as server:
        told = call(f"http://127.0.0.1:{server.port}/")
    assert told["failure"] == failure
    assert text in told["text"]


def test_compressed_answers_are_read(call: Call, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream(["all", " of", " it"]), gzip=True), Script(chat(), gzip=True))
    assert [json.loads(call(provider.url)["body"])["object"] for _ in range(2)] == ["chat.completion"] * 2


def test_a_bomb_bursts_on_the_limit(call: Call) -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with serving([head + bomb]) as server:
        assert "more than 1000000 bytes" in call(f"http://127.0.0.1:{server.port}/")["text"]


def silent(*said: bytes) -> socket.socket:
    """Return where a server listens that says this to its first caller, and then nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            channel, _ = listener.accept()
            with channel:
                if said:
                    channel.recv(65536)
                for each in said:
                    channel.sendall(each)
                while channel.recv(65536):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_silence_after_a_compressed_beginning_is_given_up(call: Call) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\na\r\n"
    with silent(head + gzip.compress(b"x")[:10] + b"\r\n") as server:
        assert call(f"http://127.0.0.1:{server.getsockname()[1]}/")["failure"] == "TimedOut"


@pytest.mark.parametrize("cut", [-8, 5])
def test_a_compressed_body_ends_where_it_should(call: Call, cut: int) -> None:
    whole = gzip.compress(b"all of it")
    body = whole[:cut] if cut < 0 else whole + b"x" * cut
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving([head + body]) as server:
        assert "does not end where it should" in call(f"http://127.0.0.1:{server.port}/")["text"]


def test_what_ends_early_leaves_nothing_behind(call: Call, certificate: Path) -> None:  # noqa: F811
    before = call("http://127.0.0.1:9/")["open"]
    with silent() as deaf, silent() as dumb, silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx") as slow:
        tls, first, idle = (f"127.0.0.1:{each.getsockname()[1]}" for each in (deaf, dumb, slow))
        assert call(f"https://{tls}/", seconds=0.3, bundle=certificate)["failure"] == "OutOfTime"  # in the handshake
        assert call(f"http://{first}/", seconds=0.3)["failure"] == "OutOfTime"
        told = call(f"http://{idle}/", seconds=0.3)
    assert (told["failure"], told["open"], told["held"]) == ("OutOfTime", before, 0)


def test_a_refusal_that_comes_before_the_body_was_sent_is_heard(call: Call) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    def refuse(listener: socket.socket) -> None:
        channel, _ = listener.accept()
        with channel:
            channel.recv(1000)
            channel.sendall(refusal)
            channel.shutdown(socket.SHUT_WR)
            while channel.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        told = call(f"http://127.0.0.1:{listener.getsockname()[1]}/", size=5_000_000)
        thread.join(5)
    assert (told["status"], told["body"]) == (413, "no")


def test_redirects_are_answers(call: Call, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(redirect(other.url, status=307))
    assert call(provider.url)["status"] == 307
    assert other.requests == []


def test_a_provider_that_is_silent_is_given_up(call: Call, provider: ScriptedProvider) -> None:
    provider.play(HANG)
    assert call(provider.url)["failure"] == "TimedOut"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_refused_unless_it_is_trusted(call: Call, provider: ScriptedProvider, host: str) -> None:
    assert "may not be called" in call(f"http://{host}:{provider.port}/", private=False)["text"]
    assert provider.requests == []


def test_what_cannot_be_reached_is_told(call: Call) -> None:
    assert "no address" in call("http://nobody.invalid/")["text"]
    assert "does not answer" in call("http://127.0.0.1:9/")["text"]


def test_certificates_are_verified(call: Call, certificate: Path, tmp_path: Path) -> None:  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    closing = WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with serving([closing], [WHOLE], [], [], context=context) as server:
        there = f"https://localhost:{server.port}/"
        assert [call(there, bundle=certificate)["status"] for _ in range(2)] == [200, 200]
        assert server.resumed == [False, True]  # the second went on with the session of the first
        assert server.closed.acquire(timeout=5)
        assert "certificate verify failed" in call(there)["text"]
        assert "certificate" in call(f"https://127.0.0.1:{server.port}/", bundle=certificate)["text"]
    assert "gone.pem" in call("https://localhost:9/", bundle=tmp_path / "gone.pem")["text"]


def test_a_name_is_asked_for_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolved(host: str, port: int) -> dialing.Found:
        asked.append(host)
        if host == "nobody":
            raise dialing.NotReached("nobody has no address")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(dialing, "resolved", resolved)
    with serving([], []) as server:
        origin = _Origin("somebody", server.port, private_allowed=True, context=None)
        for _ in range(2):
            origin.connected(1.0).close()
    nobody = _Origin("nobody", 80, private_allowed=True, context=None)
    for _ in range(2):
        with pytest.raises(dialing.NotReached, match="no address"):
            nobody.connected(1.0)
    assert asked == ["somebody", "nobody"]
