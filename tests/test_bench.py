"""The benchmark runs, and its figures are complete. How fast anything is, is not asked here."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from string import Template
from xml.etree import ElementTree

import anthropic
import openai
import orjson
import pytest

from bench import chart, processes, report, rows
from bench.accounts import measured
from bench.gateways import Gateway
from bench.load import Job, Result, load
from bench.peers import PEERS
from bench.provider import EVENTS, STREAM_HEAD, WORD
from bench.scenarios import QUICK
from tests.server import ROOT

VALUES = {"python": "python3", "home": "h", "folder": "f", "port": "1", "provider": "http://p", "pause": "0.0"}


def test_it_works(tmp_path: Path) -> None:
    file, drawing = tmp_path / "figures.json", tmp_path / "chart.svg"
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(file), "--chart", str(drawing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    written = orjson.loads(file.read_bytes())
    assert {"python", "django", "gunicorn"} <= set(written["machine"])
    found = written["figures"]
    assert set(found) == {"direct", "django", "tokenhub"}
    assert all(f"{scenario.told}: failed" in found["tokenhub"] for scenario in QUICK)
    assert "10 models, 3 keys: CPU ms a request" in found["tokenhub"]
    for figures in found.values():
        for name, (figure,) in figures.items():
            if name.endswith("failed"):
                assert figure == 0, name
                continue
            assert f"\n| {name} | " in done.stdout
            if "core, %" not in name and "CPU" not in name:  # which the kernel counts in hundredths of a second
                assert figure > 0, name
    assert "TokenHub" in [text.text for text in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a fake provider."""
    with ExitStack() as ending:
        port = processes.free_port()
        log = tmp_path_factory.mktemp("provider") / "log"
        command = [sys.executable, "-m", "bench.provider", str(port), "0"]
        process = processes.start(command, processes.CORES, {}, log, ending)
        processes.await_answer(f"http://127.0.0.1:{port}/", process, log)
        yield f"http://127.0.0.1:{port}"


def test_the_provider_speaks_openai(fake: str) -> None:
    client = openai.OpenAI(base_url=f"{fake}/v1", api_key="sk-x", max_retries=0)
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model="m", messages=messages)
    assert whole.choices[0].message.content
    streamed = list(client.chat.completions.create(model="m", messages=messages, stream=True))
    assert len(streamed) == EVENTS
    assert streamed[-2].choices[0].finish_reason == "stop"
    assert streamed[-1].usage == whole.usage


def test_the_provider_speaks_anthropic(fake: str) -> None:
    client = anthropic.Anthropic(base_url=fake, api_key="sk-x", max_retries=0)
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hello"}]
    whole = client.messages.create(model="m", messages=messages, max_tokens=9)
    assert whole.stop_reason == "end_turn"
    streamed = list(client.messages.create(model="m", messages=messages, max_tokens=9, stream=True))
    assert len(streamed) == EVENTS
    assert streamed[-1].type == "message_stop"


def test_the_load_knows_whole_answers_from_others(fake: str) -> None:
    for path in ("/v1/chat/completions", "/v1/messages"):
        seen = processes.load(f"{fake}{path}", {"stream": True}, connections=2, seconds=30, requests=2)
        assert (len(seen.whole_ms), seen.failed) == (4, 0)


async def _cut_off(answer: bytes) -> Result:
    """Return what the load sees of a server that always gives this answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await load(Job(f"http://127.0.0.1:{port}/", {}, "{}", connections=1, seconds=5, requests=1))


@pytest.mark.parametrize(
    "answer",
    [
        STREAM_HEAD + WORD + b"0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    ],
)
def test_an_answer_that_is_not_whole_has_failed(answer: bytes) -> None:
    seen = asyncio.run(_cut_off(answer))
    assert (seen.whole_ms, seen.failed) == ([], 1)
    assert seen.failure.startswith("http/1.1")


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_can_be_installed_started_and_asked(name: str) -> None:
    peer: Gateway = rows.rows([name])[name]
    route = peer.routes["openai", "openai"]
    texts = [*peer.command, *peer.version, *(word for command in peer.install for word in command)]
    texts += [*peer.files.values(), *peer.environment.values(), *route.headers.values()]
    filled = [Template(text).substitute(VALUES) for text in texts]
    assert any("http://p" in text for text in filled), "the fake provider is what it asks"
    assert all(orjson.loads(Template(text).substitute(VALUES)) for text in peer.files.values())
    assert peer.install
    assert "Authorization" in route.headers


def test_peers_are_chosen_by_name() -> None:
    assert rows.chosen("") == []
    assert rows.chosen("all") == list(PEERS)
    assert rows.chosen("ferrogw, litellm") == ["ferrogw", "litellm"]
    with pytest.raises(ValueError, match="no such peer: nobody"):
        rows.chosen("ferrogw,nobody")


def test_ratios_are_of_the_same_round() -> None:
    name = "1 connection: p50 ms"
    found = report.with_added(
        {
            "direct": {name: [1.0, 10.0]},
            "tokenhub": {name: [3.0, 12.0], "x: failed": [0.0, 2.0], "x: other core, %": [99.0, 99.0]},
            "litellm": {name: [6.0, 48.0], "x: failed": [0.0, 0.0]},
        }
    )
    assert found["tokenhub"]["1 connection: p50 ms added to the provider's"] == [2.0, 2.0]
    assert report.ratio(found, "litellm", name) == (3 / 6 + 12 / 48) / 2
    assert report.ratio(found, "litellm", "x: failed") is None
    lines = list(report.tables(found))
    assert f"| {name} | 5.50 (1 to 10) | 7.50 (3 to 12) | 27 (6 to 48) |" in lines
    assert f"| {name} | 0.38 |" in lines
    assert "tokenhub, x: 2 requests failed." in lines
    assert "tokenhub, x: load and provider were busy, so its requests/s are lower than it can." in lines
    assert "&lt;" in chart.drawn({"<b>": {figure: [1.0, 2.0] for _, figure in chart.PANELS}})


def test_the_books_are_measured() -> None:
    command = [sys.executable, "-m", "bench.books", "--rows", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "300 calls at " in done.stdout
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith(("| all: ", "| lead: "))]
    assert len(lines) > 30
    for name, *figures in lines:
        assert all(float(figure) >= 0 for figure in figures), name


def test_slow_streams_complete() -> None:
    options = ["--streams", "300", "--rate", "100", "--seconds", "3"]
    command = [sys.executable, "-m", "bench.slow_streams", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("complete: 300/300\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_accounts_are_measured() -> None:
    for way in ("accounts off", "key with a budget"):
        assert all(figure > 0 for figure in measured(way, 0.3).values())
