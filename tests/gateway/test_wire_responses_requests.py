"""Conversations are written as requests of the Responses API, and read from them again."""

from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.conversation import (
    AnswerForm,
    Block,
    Conversation,
    Document,
    Image,
    Reasoning,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.wire import responses
from tests import conversations as any_


def said(side: Literal["user", "assistant"], *blocks: Block) -> Turn:
    return Turn(side, blocks)


def write(*turns: Turn, **settings: Any) -> dict[str, Any]:
    return responses.write_conversation(Conversation(turns=turns, **settings), model="m", stream=False)


def test_it_works() -> None:
    assert write(said("user", Text("hi"))) == {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
    }


def test_a_body_for_a_provider() -> None:
    asked = Conversation(
        turns=(
            said("user", Text("a"), Image(url="https://x/y.png", detail="low"), Document(text="t", name="n")),
            said("assistant", Thought("hm", "s"), Text("b"), ToolUse("c1", "f", "{}"), Text("")),
            said("user", ToolResult("c1", (Text("e"), Image(data="AAAA", media_type="image/png")), is_error=True)),
        ),
        system=(Text("one", {"type": "ephemeral"}), Text("two")),
        tools=(Tool("f"),),
        max_tokens=5,
        top_k=3,
        stop=("END",),
        user="u" * 100,
        reasoning=Reasoning(budget=5000),
        form=AnswerForm(),
    )
    lost = ("top_k", "stop", "max_tokens", "thinking", "is_error", "cache_control")
    assert responses.losses(asked) == lost
    text = {"type": "input_text", "text": "a"}
    picture = {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}
    shown = [
        {"type": "input_text", "text": "e"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
    ]
    assert responses.write_conversation(asked, model="there", stream=True) == {
        "model": "there",
        "input": [
            {"role": "user", "content": [text, picture, {"type": "input_text", "text": "n\n\nt"}]},
            {"role": "assistant", "content": "b"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": shown},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}],
        "instructions": "one\n\ntwo",
        "max_output_tokens": 16,
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "medium"},
        "user": "u" * 64,
        "store": False,
        "stream": True,
    }


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (Reasoning("xhigh", 1), "high"),
        (Reasoning("minimal"), "low"),
        (Reasoning("none"), None),
        (Reasoning(budget=4095), "low"),
        (Reasoning(budget=4096), "medium"),
        (Reasoning(budget=99_999), "high"),
        (Reasoning(), None),
        (None, None),
    ],
)
def test_how_much_to_think_is_told_as_an_effort(reasoning: Reasoning | None, effort: str | None) -> None:
    assert write(reasoning=reasoning).get("reasoning") == (effort and {"effort": effort})


TEXTS = st.builds(Text, any_.WORDS)
IMAGES = any_.images(st.sampled_from(["", "low"]))
FILES = st.builds(Document, url=any_.NAMES.map("https://example.com/{}".format)) | st.builds(
    Document, data=any_.NAMES, media_type=st.just("application/pdf"), name=any_.NAMES
)
SHOWN = TEXTS | IMAGES | FILES
NORMAL = any_.conversations(
    any_.turns(
        st.lists(
            any_.results(st.lists(SHOWN, max_size=3).map(tuple), st.just(False)) | SHOWN,  # noqa: FBT003
            min_size=1,
            max_size=4,
        ),
        st.lists(TEXTS | any_.uses(), min_size=1, max_size=4),
    ),
    st.lists(TEXTS, max_size=1),
    st.builds(Tool, any_.NAMES, any_.WORDS | st.just(""), st.none() | any_.SCHEMAS, st.booleans()),
    parallel_tools=st.none() | st.booleans(),
    max_tokens=st.none() | st.integers(16, 99),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    user=st.none() | any_.NAMES,
    form=st.none()
    | st.just(AnswerForm())
    | st.builds(AnswerForm, any_.SCHEMAS, any_.NAMES, any_.WORDS | st.just(""), st.none() | st.booleans()),
    reasoning=st.none() | st.sampled_from(["low", "medium", "high"]).map(Reasoning),
).filter(lambda asked: len({tool.name for tool in asked.tools}) == len(asked.tools))


@any_.PATIENT
@given(NORMAL, st.booleans())
def test_what_is_written_is_read(asked: Conversation, stream: bool) -> None:
    body = responses.write_conversation(asked, model="m", stream=stream)
    assert responses.read_conversation(body) == asked
    assert responses.read_conversation(orjson.loads(orjson.dumps(body))) == asked
    assert (body["store"], body.get("stream")) == (False, stream or None)
    assert responses.losses(asked) == ()


PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)


@any_.PATIENT
@given(NORMAL)
def test_what_is_written_has_the_official_type(asked: Conversation) -> None:
    PARAMS.validate_python(responses.write_conversation(asked, model="m", stream=False))
