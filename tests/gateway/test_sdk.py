"""The official `openai` SDK works against the gateway as against OpenAI."""

import asyncio

import openai
import pytest

from gateway.flows import FLOWS
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Cut, Script
from tests.server import Gateway


@pytest.fixture
def client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything", max_retries=0)


def test_it_works(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Hello from here"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


def test_a_stream(client: openai.OpenAI) -> None:
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model="best", messages=[{"role": "user", "content": "hi"}], stream=True, stream_options=options
        )
    )
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == "Hello from here"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_the_streaming_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="echo-1", messages=[{"role": "user", "content": "one two"}]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "one two"


def test_asynchronous(gateway: Gateway) -> None:
    async def ask() -> str | None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x") as client:
            answer = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
            return answer.choices[0].message.content

    assert asyncio.run(ask()) == "Hello from here"


def test_models_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    virtual = {f"tokenhub/{name}" for name in FLOWS}
    assert set(listed) == {"best", "next", "echo-1", "fast", "auto"} | virtual
    assert listed["best"].owned_by == "first"
    assert listed["best"].created > 1_700_000_000
    assert client.models.retrieve("next").id == "next"
    assert client.models.retrieve("fast").id == "fast"


def test_the_gateways_own_fields_go_in_extra_body(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "cheap"}], extra_body={"max_cost": 0}
    )
    assert answer.model == "echo-1"


def test_an_error_in_band_is_raised(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream(["one", "two"]), cut=Cut(after=2)))
    stream = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(openai.APIError, match="first broke off"):
        list(stream)


def test_echo_is_steered_by_its_prompt(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="echo-1", messages=[{"role": "user", "content": "[delay=0.01] [length=5] tick tock"}], max_tokens=4
    )
    assert answer.choices[0].message.content == "tick tock tick tock"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
