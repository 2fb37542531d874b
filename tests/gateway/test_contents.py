"""A key that says so has its prompts and answers kept, sealed; no other has, and neither is found in the clear."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.databases import file_of, own_database, rows
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream
from tests.scripted_script import Script
from tests.server import Gateway, model, wait_for

SAID, TOLD = "canary-said-8d1f", "canary-told-77ab"
STORED = "SELECT request, answer, request_bytes, answer_bytes, truncated FROM accounts_callcontent WHERE request_id = ?"


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker that keeps 4000 bytes of a side."""
    config = {"providers": [{"name": "p", "type": "vllm", "base_url": provider.url}], "models": [model("m", "p")]}
    folder = tmp_path_factory.mktemp("contents")
    with own_database() as more, Gateway(folder, config, TOKENHUB_CONTENT_MAX_BYTES="4000", **more) as started:
        yield started


@pytest.fixture(scope="module")
def logged(running: Gateway) -> str:
    """A key whose contents are kept."""
    return running.key("--log-content", name="logged")


@pytest.fixture(scope="module")
def unlogged(running: Gateway) -> str:
    """A key like any."""
    return running.key(name="unlogged")


def ask(gateway: Gateway, token: str, **more: Any) -> requests.Response:
    """Send a prompt with the canary, and read the whole answer."""
    body = {"model": "m", "fallback": False, "messages": [{"role": "user", "content": SAID}]} | more
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=30)


def kept(gateway: Gateway, answer: requests.Response) -> tuple[Any, ...]:
    """The row of the content of a call, once it is there."""
    wanted = answer.headers["x-tokenhub-request-id"]
    assert wait_for(lambda: rows(gateway, STORED, wanted))
    (row,) = rows(gateway, STORED, wanted)
    return tuple(row)


def opened(gateway: Gateway, answer: requests.Response) -> tuple[str, str]:
    """What the vault opens of it."""
    wanted = answer.headers["x-tokenhub-request-id"]
    code = (
        f"from accounts.models import CallContent; row = CallContent.objects.get(pk='{wanted}'); "
        "print(ascii((row.request, row.answer)))"
    )
    told = gateway.run("shell", "--no-imports", "-c", code)
    assert told.returncode == 0, told.stderr
    request, reply = ast.literal_eval(told.stdout)
    return request, reply


def test_it_works(running: Gateway, logged: str, provider: ScriptedProvider) -> None:
    provider.play(chat(TOLD))
    whole = ask(running, logged)
    assert TOLD in whole.text
    provider.play(chat_stream([TOLD, " and more"]))
    stream = ask(running, logged, stream=True)
    assert TOLD in stream.text
    for answer in (whole, stream):
        request, reply, said, told, truncated = kept(running, answer)
        assert request.startswith("v1.")
        assert reply.startswith("v1.")
        assert (said, told, bool(truncated)) == (len(answer.request.body or b""), len(answer.content), False)
        assert opened(running, answer) == ((answer.request.body or b"").decode(), answer.content.decode())  # type: ignore[union-attr]
        decision = requests.get(
            f"{running.url}/v1/decisions/{answer.headers['x-tokenhub-request-id']}",
            headers={"Authorization": f"Bearer {logged}"},
            timeout=10,
        )
        assert decision.status_code == 200
        assert "canary" not in decision.text
    assert_no_canary(running)


def assert_no_canary(gateway: Gateway) -> None:
    """Hold that what was said and told is in no file of the installation: database, spool and log."""
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert gateway.environment.get("DATABASE_URL") or file_of(gateway) in files
    assert [path for path in files if b"canary-" in path.read_bytes()] == []


def test_a_key_without_the_switch_keeps_nothing(
    running: Gateway, logged: str, unlogged: str, provider: ScriptedProvider
) -> None:
    provider.play(chat(TOLD))
    silent = ask(running, unlogged)
    kept(running, ask(running, logged))  # what came later is there
    assert rows(running, STORED, silent.headers["x-tokenhub-request-id"]) == []


def test_a_refusal_is_kept_too(running: Gateway, logged: str) -> None:
    refused = ask(running, logged, model="none-such")
    assert refused.status_code == 404
    kept(running, refused)
    assert opened(running, refused)[1] == refused.text


def test_what_is_too_long_is_cut(running: Gateway, logged: str, provider: ScriptedProvider) -> None:
    provider.play(chat_stream(["x" * 100] * 200))
    answer = ask(running, logged, stream=True, user="y" * 5000)
    *_, said, told, truncated = kept(running, answer)
    assert (said, told, bool(truncated)) == (len(answer.request.body or b""), len(answer.content), True)
    request, reply = opened(running, answer)
    assert request.encode() == (answer.request.body or b"")[:4000]
    assert reply.encode() == answer.content[:4000]


def test_a_stream_that_was_left_is_kept_as_far_as_it_went(
    running: Gateway, logged: str, provider: ScriptedProvider
) -> None:
    provider.play(Script(chat_stream([TOLD, "later"]), delay_between_pieces=0.3))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": SAID}]}
    headers = {"Authorization": f"Bearer {logged}"}
    url = f"{running.url}/v1/chat/completions"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=30) as answer:
        next(answer.iter_lines())
    kept(running, answer)


def test_what_waits_is_stored_at_the_end(provider: ScriptedProvider, tmp_path: Any) -> None:
    config = {"providers": [{"name": "p", "type": "vllm", "base_url": provider.url}], "models": [model("m", "p")]}
    provider.play(chat(TOLD))
    with own_database() as more, Gateway(tmp_path, config, TOKENHUB_LEDGER_SECONDS="60", **more) as gateway:
        answer = ask(gateway, gateway.key("--log-content"))
        wanted = answer.headers["x-tokenhub-request-id"]
        assert rows(gateway, STORED, wanted) == []
        gateway.stop()
        assert len(rows(gateway, STORED, wanted)) == 1
        assert_no_canary(gateway)
