"""A prompt's size is told from its bytes: near what a vocabulary counts, whatever language or data it is written in."""

import base64
import hashlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens

HASH = hashlib.sha256(b"tokens").digest()
ROWS = [{"id": 731 * n, "user": "alice", "amount": n / 8, "paid": n % 2 == 0} for n in range(40)]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 99999}}
MESSAGE = 4


def asked(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def test_it_works() -> None:
    body = {"messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Who was Ada?"}]}
    assert tokens.estimate(body) == 2 * MESSAGE + 9


# Each with what o200k_base, the vocabulary of OpenAI's models since GPT-4o, counts.
@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("It was a bright cold day in April, and the clocks were striking thirteen. " * 9, 145),
        ("def mean(values: list[float]) -> float:\n    return sum(values) / len(values)\n\n\n" * 9, 180),
        (orjson.dumps(ROWS).decode(), 760),
        ("2026-11-23 14:05:31,207 INFO [worker-3] GET /v1/models 200 12ms ip=10.0.3.17\n" * 9, 360),
        (HASH.hex() * 9, 333),
        (base64.b64encode(HASH * 9).decode(), 279),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren. " * 9, 127),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах. " * 9, 154),  # noqa: RUF001
        ("يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. " * 9, 163),
        ("人人生而自由,在尊严和权利上一律平等。" * 9, 144),
        ("すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。" * 9, 288),
        ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. " * 9, 209),
    ],
    ids=["english", "python", "json", "log", "hex", "base64", "de", "ru", "ar", "zh", "ja", "ko"],
)
def test_a_text_is_estimated_within_bounds(text: str, counted: int) -> None:
    assert 0.75 * counted <= tokens.of_text(text) <= 1.6 * counted


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("a", 1), (" ", 1), ("\x00", 2), ("HTTP", 3), ("1234", 4), ("👍", 2), ("\ud800", 1)]
)
def test_short_texts(text: str, count: int) -> None:
    assert tokens.of_text(text) == count


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 0),
        ({"messages": None, "tools": None}, 0),
        ({"messages": ["odd", None]}, 2 * MESSAGE + 1),
        ({"messages": [{"role": "user", "content": None}]}, MESSAGE),
        (asked({"type": "text", "text": "x" * 40}), MESSAGE + 6),
        ({"system": [{"type": "text", "text": "x" * 40, "cache_control": {"type": "ephemeral"}}]}, 6),
        ({"prompt": ["x" * 40, [1, 2, 3]]}, 6 + 3),
        (asked(IMAGE), MESSAGE + 765),
        (asked({"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}), MESSAGE + 85),
        (asked({"type": "image_url", "image_url": "https://x.test/a.png"}), MESSAGE + 765),
        (asked({"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"}), MESSAGE + 85),
        (asked({"type": "image", "source": {"type": "base64", "data": "x" * 99999}}), MESSAGE + 765),
        (asked({"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, IMAGE]}), MESSAGE + 2 * 765),
        (asked({"type": "input_audio", "input_audio": {"data": "x" * 4_000_000}}), MESSAGE + 2000),
        (asked({"type": "video_url", "video_url": {"url": "x" * 600_000}}), MESSAGE + 1000),
        (asked({"type": "file", "file": {"file_data": "x" * 100_000}}), MESSAGE + 2000),
        (asked({"type": "file", "file": {"file_id": "f-1"}}), MESSAGE + 765),
        (asked({"type": "document", "source": {"type": "text", "data": "x" * 40}}), MESSAGE + 6),
        (asked({"type": "document", "source": {"type": "content", "content": [IMAGE]}}), MESSAGE + 765),
    ],
)
def test_parts(body: dict[str, Any], count: int) -> None:
    assert tokens.estimate(body) == count


def test_tools_and_their_calls_count() -> None:
    arguments = {"city": "Bergen", "days": 3}
    asked_by_openai = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": orjson.dumps(arguments).decode()},
    }
    by_openai = {"messages": [{"role": "assistant", "content": None, "tool_calls": [asked_by_openai]}]}
    by_anthropic = asked({"type": "tool_use", "id": "c", "name": "f", "input": arguments})
    assert tokens.estimate(by_openai) == tokens.estimate(by_anthropic) == MESSAGE + 11
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city"}}}
    for body in (
        {"tools": [{"type": "function", "function": {"name": "weather", "parameters": schema}}]},
        {"functions": [{"name": "weather", "parameters": schema}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}},
    ):
        assert 30 <= tokens.estimate(body) <= 45
    assert tokens.estimate({"response_format": {"type": "json_object"}}) == 0


def test_a_request_for_a_response_counts_as_a_chat_does() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city"}}}
    called = {"name": "f", "arguments": '{"city":"Bergen"}'}
    chat = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "How warm is it?"}, IMAGE]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": called}]},
            {"role": "tool", "tool_call_id": "c", "content": "It is 9 degrees."},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }
    shown = {"type": "input_image", "image_url": "data:image/png;base64," + "x" * 99999, "detail": "auto"}
    response = {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "How warm is it?"}, shown]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "status": "completed", **called},
            {"type": "function_call_output", "call_id": "c", "output": "It is 9 degrees."},
        ],
        "text": {"format": {"type": "json_schema", "schema": schema}, "verbosity": "low"},
    }
    assert abs(tokens.estimate(response) - tokens.estimate(chat)) <= 5  # the name of the field of the schema
    brief = {"instructions": "You are terse.", "input": "Who was Ada?"}
    assert tokens.estimate(brief) == tokens.estimate({"prompt": "You are terse.\nWho was Ada?"})
    sealed = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x" * 999}
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x" * 40}
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "x" * 100_000}
    for item, count in ((sealed, 1), (custom, 7), ({"role": "user", "content": [file]}, 2000)):
        assert tokens.estimate({"input": [item]}) == MESSAGE + count


@given(st.text(), st.text())
def test_longer_is_never_less(start: str, end: str) -> None:
    assert 0 <= tokens.of_text(start) <= tokens.of_text(start + end)


@given(st.text(min_size=1))
def test_a_text_takes_a_token_at_least_and_few_for_each_byte(text: str) -> None:
    assert 1 <= tokens.of_text(text) <= 2 * len(text.encode())


@given(st.text(), st.integers(2, 9))
def test_many_times_a_text_is_about_as_many_times_its_tokens(text: str, times: int) -> None:
    assert tokens.of_text(text * times) <= times * tokens.of_text(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "input", "image_url", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON)
def test_any_body_has_an_estimate(one: Any, other: Any) -> None:
    first = tokens.estimate({"messages": [one], "system": other, "tools": other})
    assert 0 < first <= tokens.estimate({"messages": [one, other], "system": other, "tools": other})


@pytest.mark.parametrize(
    ("max_tokens", "model_max_output", "context_size", "count"),
    [
        (100, None, 8192, 100),
        (100, 4096, 8192, 100),
        (9000, 4096, 8192, 4096),
        (9000, None, 8192, 9000),
        (None, 4096, 128_000, 4096),
        (None, 64_000, 128_000, 32_000),
        (None, None, 128_000, 4096),
        (None, None, 8192, 1024),
        (None, None, 5, 1),
        (None, 9, 2, 1),
    ],
)
def test_room(max_tokens: int | None, model_max_output: int | None, context_size: int, count: int) -> None:
    assert tokens.room(max_tokens, model_max_output, context_size) == count
