"""The recorded answers are what the official SDKs understand, and their index names every one of them."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import orjson
import pytest
from anthropic.types import Message
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from tests.recordings import SERVERS, WIRE, Recording, recordings
from tests.scripted import ScriptedProvider
from tests.scripted_script import Answer, Script, raw

VLLM = recordings("vllm")
CALLED = ["chat_tools", "chat_tools_required", "chat_stream_tools"]


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    """A provider that says what was recorded."""
    with ScriptedProvider() as running:
        yield running


@pytest.fixture(scope="module")
def client(provider: ScriptedProvider) -> openai.OpenAI:
    """OpenAI's own client of it."""
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=0, timeout=10)


@pytest.fixture(scope="module")
def claude(provider: ScriptedProvider) -> anthropic.Anthropic:
    """Anthropic's own client of it."""
    return anthropic.Anthropic(base_url=provider.url, api_key="none", max_retries=0, timeout=10)


def replay(recording: Recording) -> Answer:
    """Say again what was recorded, event by event."""
    events = recording.events if recording.is_stream else (recording.body,)
    return raw(*events, status=recording.status, content_type=recording.headers["content-type"])


def arguments(request: Any) -> dict[str, Any]:
    """Return a recorded request as an SDK takes it: what it has no name for goes into `extra_body`."""
    extra = {name: request[name] for name in ("seed", "structured_outputs") if name in request}
    return {name: value for name, value in request.items() if name not in extra} | {"extra_body": extra}


def test_it_works(provider: ScriptedProvider, client: openai.OpenAI) -> None:
    provider.play(replay(VLLM["chat_stop"]))
    answer = client.chat.completions.create(**arguments(VLLM["chat_stop"].request))
    assert answer.choices[0].message.content == "Hello."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert provider.requests[-1].json == VLLM["chat_stop"].request


@pytest.mark.parametrize("server", SERVERS)
def test_the_index_names_every_file_and_the_readme_every_case(server: str) -> None:
    cases = recordings(server)
    files = {file.name for file in (WIRE / server).iterdir()} - {"index.json"}
    assert files == {f"{name}.{'sse' if case.is_stream else 'json'}" for name, case in cases.items()}
    text = (WIRE / "README.md").read_text()
    assert [name for name in cases if f"`{name}`" not in text] == []


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_not_recorded_says_so(server: str) -> None:
    index = orjson.loads((WIRE / server / "index.json").read_bytes())
    is_recorded = index.get("recorded", True)
    assert is_recorded == ("written after" not in index["server"])
    assert is_recorded or all(case["request"] is None for case in index["cases"].values())
    assert (f"## {server}\n" in (WIRE / "README.md").read_text()) == is_recorded


@pytest.mark.parametrize("case", VLLM.values(), ids=VLLM)
def test_files_are_small_and_know_no_machine(case: Recording) -> None:
    assert len(case.body) < 4096
    assert b"/tmp" not in case.body
    assert case.status < 500


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat", ChatCompletion),
        ("chat_stop", ChatCompletion),
        ("chat_tools", ChatCompletion),
        ("chat_tools_required", ChatCompletion),
        ("completion", Completion),
        ("messages", Message),
    ],
)
def test_whole_answers_have_the_official_types(name: str, kind: type[BaseModel]) -> None:
    kind.model_validate(VLLM[name].json, strict=True)
    assert VLLM[name].json["usage"]


@pytest.mark.parametrize("name", ["chat_stream", "chat_stream_usage", "chat_stream_tools"])
def test_events_have_the_official_type(name: str) -> None:
    *events, last = VLLM[name].events
    assert b"".join(VLLM[name].events) == VLLM[name].body
    assert last == b"data: [DONE]\n\n"
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    told = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(told) == ("stream_options" in VLLM[name].request)


@pytest.mark.parametrize("split", [(), 1, 7])
def test_a_stream_can_be_read(provider: ScriptedProvider, client: openai.OpenAI, split: int | tuple[int, ...]) -> None:
    provider.play(Script(replay(VLLM["chat_stream_usage"]), split=split))
    with client.chat.completions.create(**arguments(VLLM["chat_stream_usage"].request)) as stream:
        chunks = list(stream)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


def test_a_stream_of_a_completion_can_be_read(provider: ScriptedProvider, client: openai.OpenAI) -> None:
    provider.play(replay(VLLM["completion_stream"]))
    with client.completions.create(**arguments(VLLM["completion_stream"].request)) as stream:
        *chunks, last = stream
    assert all(chunk.choices[0].text for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 8


@pytest.mark.parametrize("name", CALLED)
def test_a_function_is_called(name: str) -> None:
    case = VLLM[name]
    messages = [
        choice.get("message") or choice["delta"]
        for body in ([case.body] if not case.is_stream else [event[6:] for event in case.events[:-1]])
        for choice in orjson.loads(body)["choices"]
    ]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    assert calls[0]["name"] == "switch"
    assert orjson.loads("".join(call.get("arguments", "") for call in calls)) == {"on": True}


def test_models_can_be_listed(provider: ScriptedProvider, client: openai.OpenAI) -> None:
    provider.play(replay(VLLM["models"]))
    (model,) = client.models.list()
    assert isinstance(model, Model)
    assert (model.id, model.model_dump()["max_model_len"]) == ("tiny-llama", 512)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("overflow", openai.BadRequestError, "maximum context length is 512 tokens"),
        ("overflow_stream", openai.BadRequestError, "maximum context length is 512 tokens"),
        ("max_tokens_too_large", openai.BadRequestError, "max_tokens=100000 cannot be greater"),
        ("model_not_found", openai.NotFoundError, "`no-such-model` does not exist"),
        ("bad_request", openai.BadRequestError, "temperature must be non-negative"),
        ("bad_request_field", openai.BadRequestError, "Field required"),
        ("bad_json", openai.BadRequestError, "JSON decode error"),
        ("no_images", openai.BadRequestError, "not a multimodal model"),
        ("not_found", openai.NotFoundError, "Not Found"),
        ("method_not_allowed", openai.APIStatusError, "Method Not Allowed"),
        ("unauthorized", openai.AuthenticationError, "Unauthorized"),
    ],
)
def test_errors_are_raised(
    provider: ScriptedProvider, client: openai.OpenAI, name: str, kind: type[openai.APIStatusError], words: str
) -> None:
    provider.play(replay(VLLM[name]))
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model="tiny-llama", messages=[{"role": "user", "content": "hello"}])
    assert raised.value.status_code == VLLM[name].status
    assert words in str(raised.value.body)


def test_messages_can_be_streamed(provider: ScriptedProvider, claude: anthropic.Anthropic) -> None:
    provider.play(replay(VLLM["messages_stream"]))
    request = {name: value for name, value in VLLM["messages_stream"].request.items() if name not in {"stream", "seed"}}
    with claude.messages.stream(**request) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 8
    assert message.content[0].type == "text"
    assert message.content[0].text


@pytest.mark.parametrize(
    ("name", "kind"),
    [("overflow_messages", anthropic.BadRequestError), ("model_not_found_messages", anthropic.NotFoundError)],
)
def test_errors_of_messages_are_raised(
    provider: ScriptedProvider, claude: anthropic.Anthropic, name: str, kind: type[anthropic.APIStatusError]
) -> None:
    provider.play(replay(VLLM[name]))
    with pytest.raises(kind, match=r"maximum context length|does not exist"):
        claude.messages.create(model="tiny-llama", max_tokens=8, messages=[{"role": "user", "content": "hello"}])
