"""A scripted provider answers like OpenAI, breaks off just where its script says, and counts what it said."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import openai
import orjson
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scripted import ScriptedProvider
from tests.scripted_openai import ToolCall, chat, chat_stream, error, models
from tests.scripted_script import HANG, RESET, Answer, Cut, Event, Received, Says, Script, Tokens, raw, redirect

Framing = Literal["length", "chunked", "close"]
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
ASKED = Received("POST", "/", (), b"{}", 1, 0.0)
FIVE = chat_stream(["a", "b", "c", "d", "e"])


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    """A provider that answers like OpenAI until it is told otherwise."""
    with ScriptedProvider(patience=10) as running:
        yield running


def post(provider: ScriptedProvider, **body: Any) -> requests.Response:
    """Ask for a chat without keeping the connection."""
    return requests.post(f"{provider.url}/v1/chat/completions", json=body, timeout=2)


def seen(provider: ScriptedProvider, script: Says | Script) -> bytes:
    """Return every byte of an answer up to the end of its connection, as it is on the wire."""
    provider.play(script)
    with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as channel:
        body = b'{"stream": true}'
        channel.sendall(b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        with channel.makefile("rb") as reader:
            return reader.read()


def test_it_works(provider: ScriptedProvider) -> None:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-1", max_retries=0, timeout=5) as client:
        whole = client.chat.completions.create(model="any", messages=HELLO)
        assert (whole.model, whole.choices[0].message.content) == ("any", "Hello from here")
        assert whole.usage
        assert whole.usage.total_tokens == 10
        chunks = list(client.chat.completions.create(model="any", messages=HELLO, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello from here"
        assert chunks[-1].choices[0].finish_reason == "stop"
        *_, last = client.chat.completions.create(
            model="any", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        assert last.usage
        assert (last.choices, last.usage.completion_tokens) == ([], 3)
        assert [model.id for model in client.models.list()] == ["scripted"]
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            client.embeddings.create(model="any", input="hello")
    assert provider.counted == Tokens(14, 9)  # the stream that told no usage counts what it said


def test_requests_are_kept(provider: ScriptedProvider) -> None:
    with requests.Session() as session:
        before = time.monotonic()
        for number in (1, 2):
            session.post(f"{provider.url}/v1/chat/completions?beta=true", json={"n": number}, headers={"X-Odd": "yes"})
        assert provider.open_connections == 1
    post(provider)
    first, second, other = provider.requests
    assert (first.method, first.path, first.json) == ("POST", "/v1/chat/completions?beta=true", {"n": 1})
    assert ("X-Odd", "yes") in first.headers
    assert (first.header("x-odd"), first.header("x-none")) == ("yes", "")
    assert before < first.at < second.at < time.monotonic()
    assert [first.connection, second.connection, other.connection] == [1, 1, 2]


def test_scripts_are_played_in_turn_and_then_the_default(provider: ScriptedProvider) -> None:
    provider.play(error(429, "slow down", code="rate_limit_exceeded"), Script(chat("one"), headers={"X-Odd": "yes"}))
    provider.script.append(models("a", "b"))
    refused, one, listed, default = (post(provider) for _ in range(4))
    assert (refused.status_code, refused.reason) == (429, "Too Many Requests")
    assert refused.json()["error"] == {
        "message": "slow down",
        "type": "invalid_request_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert (one.json()["choices"][0]["message"]["content"], one.headers["x-odd"]) == ("one", "yes")
    assert [model["id"] for model in listed.json()["data"]] == ["a", "b"]
    assert default.json()["choices"][0]["message"]["content"] == "Hello from here"
    provider.default = HANG
    provider.play(HANG)
    provider.start_afresh()
    assert post(provider).ok
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_functions_are_called(provider: ScriptedProvider, stream: bool) -> None:
    calls = [ToolCall("look", '{"where": "under the table"}'), ToolCall("wait")]
    provider.play(chat_stream([], tool_calls=calls))
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-1") as client:
        if stream:
            with client.chat.completions.stream(model="any", messages=HELLO) as events:
                choice = events.get_final_completion().choices[0]
            assert choice.finish_reason == "tool_calls"
            told = choice.message.tool_calls or []
            assert [(call.id, call.function.name, call.function.arguments) for call in told] == [
                ("call_0", "look", '{"where": "under the table"}'),
                ("call_1", "wait", "{}"),
            ]
            assert provider.counted.output == 2 + 4 + 1
        else:
            message = client.chat.completions.create(model="any", messages=HELLO).choices[0].message
            assert [call.type == "function" and call.function.name for call in message.tool_calls or []] == [
                "look",
                "wait",
            ]


@pytest.mark.parametrize(
    ("says", "told", "counted"),
    [
        (chat_stream(["a", "b"]), 0, Tokens(0, 2)),
        (chat_stream(["a", "b"], include_usage=True), 1, Tokens(7, 2)),
        (chat_stream(["a"], include_usage=True, usages=[Tokens(1, 1), Tokens(9, 8, 4)]), 2, Tokens(9, 8, 4)),
        (chat_stream(["a"], include_usage=True, usages=[Tokens(-5, -1)]), 1, Tokens(0, 0)),
        (chat("one two", include_usage=False), 0, Tokens(0, 2)),
        (chat("one two", usage=Tokens(3, 4)), 1, Tokens(3, 4)),
    ],
)
def test_usage_is_told_as_scripted(provider: ScriptedProvider, says: Says, told: int, counted: Tokens) -> None:
    provider.play(says)
    assert post(provider, stream=True).content.count(b'prompt_tokens"') == told
    assert provider.counted == counted


def test_an_error_can_come_in_band(provider: ScriptedProvider) -> None:
    provider.play(chat_stream(["a"], fails_with="overloaded"), chat_stream(["a"], fails_with="overloaded"))
    answer = post(provider, stream=True)
    assert answer.status_code == 200
    last = answer.content.removesuffix(b"\n\n").split(b"\n\n")[-1]
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["message"] == "overloaded"
    assert post(provider).status_code == 500


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_answer_breaks_off_after_events(
    provider: ScriptedProvider, framing: Framing, how: Literal["close", "reset"]
) -> None:
    provider.play(Script(FIVE, framing=framing, cut=Cut(after=3, how=how)))
    received = b""
    answer = requests.post(provider.url, json={"stream": True}, stream=True, timeout=2)
    is_silent_end = (framing, how) == ("close", "close")  # such an answer ends like a whole one
    try:
        for byte in answer.iter_content(1):
            received += byte
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        assert not is_silent_end
    else:
        assert is_silent_end
    assert received.count(b"\n\n") == 3
    assert b'"content":"b"' in received
    assert provider.counted == Tokens(0, 2)
    provider.wait_until(lambda: provider.open_connections == 0)
    assert provider.closed_early == []


def test_an_answer_breaks_off_after_bytes(provider: ScriptedProvider) -> None:
    says = raw(b"0123456789", b"abc")
    assert seen(provider, Script(says, cut=Cut(after_bytes=12))).endswith(b"\r\n\r\n0123456789ab")
    assert seen(provider, Script(says, cut=Cut(after_bytes=99))).endswith(b"\r\n\r\n0123456789abc")
    assert seen(provider, Script(says, cut=Cut(after=0))).endswith(b"\r\n\r\n")
    assert seen(provider, Script(says, cut=Cut())) == b""
    assert seen(provider, Script(says, cut=Cut(after=2), framing="chunked")).endswith(b"3\r\nabc\r\n")
    with pytest.raises(ConnectionResetError):
        seen(provider, RESET)


@pytest.mark.parametrize(("script", "events"), [(HANG, 0), (Script(FIVE, cut=Cut(after=2, how="silence")), 2)])
def test_silence_lasts_until_the_caller_leaves(provider: ScriptedProvider, script: Script, events: int) -> None:
    provider.play(script)
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        assert requests.post(provider.url, json={"stream": True}, timeout=0.2).content
    provider.wait_until(lambda: provider.open_connections == 0)
    (left,) = provider.closed_early
    assert left.events == events
    assert 0.15 < left.after < 5
    assert left.at < time.monotonic()


def test_silence_ends_with_patience() -> None:
    with ScriptedProvider(HANG, patience=0.2) as provider, pytest.raises(requests.ConnectionError):
        post(provider)
    assert provider.closed_early == []


def test_a_caller_who_leaves_in_the_middle_is_noticed_at_once(provider: ScriptedProvider) -> None:
    provider.play(Script(FIVE, delay_between_pieces=0.5), Script(FIVE, delay_before_headers=5))
    with requests.post(provider.url, json={"stream": True}, stream=True, timeout=2) as answer:
        next(answer.iter_content(None))
        left_at = time.monotonic()
    provider.wait_until(lambda: len(provider.closed_early) == 1)
    assert provider.closed_early[0].at - left_at < 0.4
    assert 1 <= provider.closed_early[0].events < 6
    with pytest.raises(requests.Timeout):
        requests.post(provider.url, json={}, timeout=0.1)
    provider.wait_until(lambda: len(provider.closed_early) == 2)
    assert provider.closed_early[1].after < 4


def test_pieces_are_chunks(provider: ScriptedProvider) -> None:
    head, _, body = seen(provider, Script(raw(b"abc", b"def"), framing="chunked", split=2)).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"2\r\nab\r\n1\r\nc\r\n1\r\nd\r\n2\r\nef\r\n0\r\n\r\n"
    assert seen(provider, Script(raw(b"abc", b"def"), framing="chunked", split=(1, 4, 77))).endswith(
        b"1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n2\r\nef\r\n0\r\n\r\n"
    )


@settings(deadline=None)  # a busy machine is no fault
@given(
    st.lists(st.binary(min_size=1, max_size=9), max_size=5),
    st.integers(1, 9) | st.lists(st.integers(-1, 50)).map(tuple),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 50),
)
def test_no_byte_is_lost_wherever_it_is_split_or_cut(
    raws: list[bytes], split: int | tuple[int, ...], after: int | None, after_bytes: int | None
) -> None:
    cut = None if after is None and after_bytes is None else Cut(after, after_bytes)
    plan = Script(Answer(tuple(map(Event, raws))), split=split, cut=cut).plan(ASKED)
    expected = b"".join(raws) if after_bytes is not None else b"".join(raws[:after])
    _, *pieces = [step.raw for step in plan.steps]
    assert b"".join(pieces) == expected[:after_bytes]
    assert all(pieces)
    completed = [step.completes.raw for step in plan.steps if step.completes]
    assert completed == raws[: len(completed)]
    assert len(b"".join(completed)) <= len(expected[:after_bytes])


def test_a_content_length_can_lie(provider: ScriptedProvider) -> None:
    provider.play(Script(raw(b"0123456789"), length_off_by=5), Script(raw(b"0123456789"), length_off_by=-4))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        post(provider)
    assert post(provider).content == b"012345"


@pytest.mark.parametrize("stream", [False, True])
def test_answers_can_be_compressed(provider: ScriptedProvider, stream: bool) -> None:
    plain = post(provider, stream=stream)
    provider.play(Script(chat_stream(), gzip=True))
    answer = post(provider, stream=stream)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == plain.content


def test_a_compressed_event_can_be_read_before_the_next(provider: ScriptedProvider) -> None:
    provider.play(Script(FIVE, gzip=True, cut=Cut(after=2, how="silence")))
    with requests.post(provider.url, json={"stream": True}, stream=True, timeout=2) as answer:
        role, _, content = (next(lines) for lines in [answer.iter_lines(1)] * 3)
    assert b'"role"' in role
    assert b'"content":"a"' in content


def test_everything_can_be_late(provider: ScriptedProvider) -> None:
    provider.play(
        Script(FIVE, delay_before_headers=0.1),
        Script(FIVE, delay_before_body=0.1),
        Script(FIVE, delay_between_pieces=0.03),
        Script(raw(b"{}"), delay_between_header_bytes=0.002),
    )
    for _ in range(4):
        began = time.monotonic()
        with requests.post(provider.url, json={"stream": True}, stream=True, timeout=2) as answer:
            headers_after = time.monotonic() - began
            assert answer.content
        whole_after = time.monotonic() - began
        assert whole_after > 0.08
        if len(provider.requests) in {1, 4}:
            assert headers_after > 0.05
    assert provider.closed_early == []


def test_connections_can_be_closed_by_either_side(provider: ScriptedProvider) -> None:
    with requests.Session() as session:
        provider.play(Script(close=True))
        assert session.get(provider.url).headers["connection"] == "close"
        provider.play(Script(raw(b"until the end"), framing="close"))
        answer = session.get(provider.url)
        assert (answer.content, answer.headers.get("content-length")) == (b"until the end", None)
        assert session.get(provider.url, headers={"Connection": "close"}).status_code == 404
        provider.wait_until(lambda: provider.open_connections == 0)
    assert [received.connection for received in provider.requests] == [1, 2, 3]


def test_redirects_lead_elsewhere(provider: ScriptedProvider) -> None:
    provider.play(redirect(f"{provider.url}/v1/models"))
    assert requests.get(provider.url, timeout=2).json()["object"] == "list"
    assert [received.path for received in provider.requests] == ["/", "/v1/models"]


def test_many_are_answered_at_once() -> None:
    threads = threading.active_count()
    with ScriptedProvider(Script(FIVE, delay_between_pieces=0.05)) as provider, ThreadPoolExecutor(20) as pool:
        began = time.monotonic()
        answers = [pool.submit(lambda: post(provider, stream=True).content) for _ in range(20)]
        assert all(answer.result().endswith(b"data: [DONE]\n\n") for answer in answers)
        assert time.monotonic() - began < 20 * 7 * 0.05 / 2
        assert provider.counted == Tokens(0, 100)
        provider.wait_until(lambda: provider.open_connections == 0)
    assert threading.active_count() == threads


def test_nothing_is_left_when_it_ends() -> None:
    threads = threading.active_count()
    with ScriptedProvider(HANG) as provider, socket.create_connection(("127.0.0.1", provider.port)) as idle:
        hung = socket.create_connection(("127.0.0.1", provider.port))
        hung.sendall(b"GET / HTTP/1.1\r\n\r\n")
        provider.wait_until(lambda: len(provider.requests) == 1)
        began = time.monotonic()
        provider.stop()
        assert time.monotonic() - began < 1
        assert (idle.recv(1), hung.recv(1)) == (b"", b"")
        hung.close()
    assert threading.active_count() == threads
    assert (provider.open_connections, provider.closed_early) == (0, [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", provider.port))
