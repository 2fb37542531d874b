"""All that the official clients offer works with providers of every language: helpers, tools, forms of answers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import anthropic as claude
import openai
import orjson
import pytest
from pydantic import BaseModel

from tests.scripted import ScriptedProvider
from tests.scripted_openai import ToolCall
from tests.scripted_responses import in_every_language
from tests.scripted_script import Answer, Received, raw, raw_stream
from tests.server import Gateway, model
from tests.translations import exchanges

HI: Final[list[Any]] = [{"role": "user", "content": "hi"}]
SAID = "Hello from here"
MODELS = ("of-chats", "of-messages", "of-messages-with-json", "of-responses")
EACH = pytest.mark.parametrize("name", MODELS)
TOWN = '{"name": "Ulm", "people": 126000}'


class Town(BaseModel):
    """A town."""

    name: str
    people: int


class Weather(BaseModel):
    """The weather of a town."""

    town: str


@pytest.fixture(scope="module")
def house(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a model of each language, and one of Anthropic's that knows schemas."""
    row = {"base_url": provider.url, "api_key": "sk-canary", "first_byte_timeout": 3.0}
    config = {
        "providers": [
            {**row, "name": "c", "type": "openai", "endpoints": ["chat"]},
            {**row, "name": "m", "type": "anthropic"},
            {**row, "name": "r", "type": "openai", "endpoints": ["chat", "responses"]},
        ],
        "models": [
            model("of-chats", "c"),
            model("of-messages", "m"),
            model("of-messages-with-json", "m", capabilities=["chat", "json", "tools"]),
            model("of-responses", "r"),
        ],
    }
    with Gateway(tmp_path_factory.mktemp("house"), config) as running:
        yield running


@pytest.fixture(autouse=True)
def _speaks_every_language(provider: ScriptedProvider) -> None:
    provider.default = in_every_language()


@pytest.fixture(scope="module")
def gpt(house: Gateway) -> Iterator[openai.OpenAI]:
    """OpenAI's client."""
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def ant(house: Gateway) -> Iterator[claude.Anthropic]:
    """Anthropic's client."""
    with claude.Anthropic(base_url=house.url, api_key="anything", max_retries=0) as client:
        yield client


def with_async(house: Gateway, use: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    """Return what comes of the use of both asynchronous clients."""

    async def run() -> Any:
        async with (
            openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="anything", max_retries=0) as gpt,
            claude.AsyncAnthropic(base_url=house.url, api_key="anything", max_retries=0) as ant,
        ):
            return await use(gpt, ant)

    return asyncio.run(run())


def calls_then_says(name: str, arguments: str) -> tuple[Callable[[Received], Answer], ...]:
    return in_every_language([], tool_calls=[ToolCall(name, arguments)]), in_every_language()


def says_a_town(received: Received) -> Answer:
    """Answer with the JSON that is asked for: in words, or in a call of the tool that takes it."""
    choice = received.json.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "tool":
        return in_every_language([], tool_calls=[ToolCall(choice["name"], TOWN)])(received)
    return in_every_language([TOWN[:9], TOWN[9:]])(received)


# --- words ------------------------------------------------------------------------------------------------------------


@EACH
def test_it_works(gpt: openai.OpenAI, ant: claude.Anthropic, name: str) -> None:
    chat = gpt.chat.completions.create(model=name, messages=HI)
    response = gpt.responses.create(model=name, input="hi")
    message = ant.messages.create(model=name, max_tokens=50, messages=HI)
    assert (chat.choices[0].message.content, response.output_text, message.content[0].text) == (SAID, SAID, SAID)  # type: ignore[union-attr]  # a text
    assert chat.usage
    assert response.usage
    used = {chat.usage.completion_tokens, response.usage.output_tokens, message.usage.output_tokens}
    assert used == {3}


@EACH
def test_streams_and_their_helpers(gpt: openai.OpenAI, ant: claude.Anthropic, name: str) -> None:
    chunks = gpt.chat.completions.create(model=name, messages=HI, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    events = gpt.responses.create(model=name, input="hi", stream=True)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SAID
    with gpt.chat.completions.stream(model=name, messages=HI) as chat:
        assert "".join(event.delta for event in chat if event.type == "content.delta") == SAID
        assert chat.get_final_completion().choices[0].message.content == SAID
    with gpt.responses.stream(model=name, input="hi") as response:
        assert response.get_final_response().output_text == SAID
    with ant.messages.stream(model=name, max_tokens=50, messages=HI) as message:
        assert "".join(message.text_stream) == message.get_final_text() == SAID
        assert message.get_final_message().stop_reason == "end_turn"


@EACH
def test_asynchronous_clients(house: Gateway, name: str) -> None:
    async def use(gpt: openai.AsyncOpenAI, ant: claude.AsyncAnthropic) -> list[Any]:
        chat = await gpt.chat.completions.create(model=name, messages=HI)
        response = await gpt.responses.create(model=name, input="hi")
        message: Any = await ant.messages.create(model=name, max_tokens=50, messages=HI)
        chunks = [chunk async for chunk in await gpt.chat.completions.create(model=name, messages=HI, stream=True)]
        events = [event async for event in await gpt.responses.create(model=name, input="hi", stream=True)]
        return [
            chat.choices[0].message.content,
            response.output_text,
            message.content[0].text,
            "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
            "".join(event.delta for event in events if event.type == "response.output_text.delta"),
        ]

    assert with_async(house, use) == [SAID] * 5


@EACH
def test_asynchronous_helpers_of_streams(house: Gateway, name: str) -> None:
    async def use(gpt: openai.AsyncOpenAI, ant: claude.AsyncAnthropic) -> list[Any]:
        async with gpt.chat.completions.stream(model=name, messages=HI) as chat:
            completion = await chat.get_final_completion()
        async with gpt.responses.stream(model=name, input="hi") as response:
            last = await response.get_final_response()
        async with ant.messages.stream(model=name, max_tokens=50, messages=HI) as message:
            return [completion.choices[0].message.content, last.output_text, await message.get_final_text()]

    assert with_async(house, use) == [SAID] * 3


# --- tools ------------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_runner_of_tools(
    ant: claude.Anthropic, provider: ScriptedProvider, name: str, *, stream: bool
) -> None:
    asked = []

    @claude.beta_tool
    def weather(town: str) -> str:
        """Tell the weather of a town."""
        asked.append(town)
        return "rain"

    provider.play(*calls_then_says("weather", '{"town": "Ulm"}'))
    runner: Any = ant.beta.messages.tool_runner(model=name, max_tokens=50, messages=HI, tools=[weather], stream=stream)
    last = runner.until_done()
    assert ([block.text for block in last.content], asked) == ([SAID], ["Ulm"])
    assert "rain" in str(provider.requests[-1].json)


@EACH
def test_anthropics_asynchronous_runner_of_tools(house: Gateway, provider: ScriptedProvider, name: str) -> None:
    @claude.beta_async_tool
    async def weather(town: str) -> str:
        """Tell the weather of a town."""
        return f"rain in {town}"

    async def use(_: openai.AsyncOpenAI, ant: claude.AsyncAnthropic) -> Any:
        runner = ant.beta.messages.tool_runner(model=name, max_tokens=50, messages=HI, tools=[weather])
        return await runner.until_done()

    provider.play(*calls_then_says("weather", '{"town": "Ulm"}'))
    assert [block.text for block in with_async(house, use).content] == [SAID]
    assert "rain in Ulm" in str(provider.requests[-1].json)


@EACH
def test_openais_tools_of_types(gpt: openai.OpenAI, provider: ScriptedProvider, name: str) -> None:
    provider.default = in_every_language([], tool_calls=[ToolCall("Weather", '{"town": "Ulm"}')])
    tools: list[Any] = [openai.pydantic_function_tool(Weather)]
    parsed = gpt.chat.completions.parse(model=name, messages=HI, tools=tools).choices[0].message.tool_calls
    with gpt.chat.completions.stream(model=name, messages=HI, tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    assert parsed
    assert streamed
    found = [call.function.parsed_arguments for call in (*parsed, *streamed)]
    assert [*found, done[0].parsed_arguments] == [Weather(town="Ulm")] * 3


@EACH
def test_openais_tools_of_types_in_responses(gpt: openai.OpenAI, provider: ScriptedProvider, name: str) -> None:
    provider.default = in_every_language([], tool_calls=[ToolCall("Weather", '{"town": "Ulm"}')])
    tools: list[Any] = [openai.pydantic_function_tool(Weather)]
    parsed: Any = gpt.responses.parse(model=name, input="hi", tools=tools)
    with gpt.responses.stream(model=name, input="hi", tools=tools) as stream:
        streamed: Any = stream.get_final_response()
    found = [item.parsed_arguments for item in (*parsed.output, *streamed.output)]
    assert found == [Weather(town="Ulm")] * 2
    sent = provider.requests[0].json["tools"][0]
    assert "Weather" in (sent.get("name"), sent.get("function", {}).get("name"))


# --- forms of answers -------------------------------------------------------------------------------------------------


@EACH
def test_answers_of_a_type(gpt: openai.OpenAI, ant: claude.Anthropic, provider: ScriptedProvider, name: str) -> None:
    provider.default = says_a_town
    chat = gpt.chat.completions.parse(model=name, messages=HI, response_format=Town)
    response = gpt.responses.parse(model=name, input="hi", text_format=Town)
    message = ant.messages.parse(model=name, max_tokens=50, messages=HI, output_format=Town)
    found = [chat.choices[0].message.parsed, response.output_parsed, message.parsed_output]
    assert found == [Town(name="Ulm", people=126_000)] * 3
    assert all("people" in str(received.json) for received in provider.requests)


@EACH
def test_streamed_answers_of_a_type(
    gpt: openai.OpenAI, ant: claude.Anthropic, provider: ScriptedProvider, name: str
) -> None:
    provider.default = says_a_town
    with gpt.chat.completions.stream(model=name, messages=HI, response_format=Town) as stream:
        chat = stream.get_final_completion().choices[0].message.parsed
    with gpt.responses.stream(model=name, input="hi", text_format=Town) as events:
        response = events.get_final_response().output_parsed
    with ant.messages.stream(model=name, max_tokens=50, messages=HI, output_format=Town) as said:
        message = said.get_final_message().parsed_output
    assert [chat, response, message] == [Town(name="Ulm", people=126_000)] * 3


@EACH
def test_answers_of_a_type_to_asynchronous_clients(house: Gateway, provider: ScriptedProvider, name: str) -> None:
    async def use(gpt: openai.AsyncOpenAI, ant: claude.AsyncAnthropic) -> list[Any]:
        chat = await gpt.chat.completions.parse(model=name, messages=HI, response_format=Town)
        response = await gpt.responses.parse(model=name, input="hi", text_format=Town)
        message = await ant.messages.parse(model=name, max_tokens=50, messages=HI, output_format=Town)
        return [chat.choices[0].message.parsed, response.output_parsed, message.parsed_output]

    provider.default = says_a_town
    assert with_async(house, use) == [Town(name="Ulm", people=126_000)] * 3


def test_a_refusal_is_no_answer_of_a_type(gpt: openai.OpenAI, provider: ScriptedProvider) -> None:
    """A client that waits for JSON would stumble over words."""
    (refused,) = (
        case for case in exchanges() if case.answer and (case.pair, case.feature) == ("responses-to-chat", "refusals")
    )
    provider.play(raw(orjson.dumps(refused.answer)), raw_stream(*refused.stream))
    whole = gpt.responses.parse(model="of-chats", input="hi", text_format=Town)
    with gpt.responses.stream(model="of-chats", input="hi", text_format=Town) as stream:
        streamed = stream.get_final_response()
    for response in (whole, streamed):
        assert response.output_parsed is None
        assert response.to_dict()["output"][0]["content"] == [  # type: ignore[index]  # one message
            {"type": "refusal", "refusal": "I cannot help with that."}
        ]
