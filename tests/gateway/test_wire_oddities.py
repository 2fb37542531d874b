"""Whatever stands at any place of a body, reading it and writing it elsewhere ends in an answer or in a refusal."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest

from gateway.conversation import Conversation, Untranslatable
from gateway.errors import InvalidRequest
from gateway.exchange import Policy, Request
from gateway.wire import anthropic, chat, embeddings, messages, openai, responses, responses_relay

ODD: tuple[Any, ...] = ([], {}, 1, -1, 1.5, True, None, "", "x", [[]], [{}], {"type": []})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PNG = "data:image/png;base64,AAAA"
FORM = {"name": "a", "description": "d", "schema": SCHEMA, "strict": True}
CACHED = {"type": "ephemeral"}
ALLOWED: dict[str, Any] = {"mode": "auto", "tools": [{"type": "function", "name": "f", "function": {"name": "f"}}]}

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": CACHED}]},
        {
            "role": "user",
            "name": "u",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"filename": "f", "file_data": "data:text/plain;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": "b",
            "refusal": "no",
            "reasoning_content": "hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "1"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": ALLOWED},
    "response_format": {"type": "json_schema", "json_schema": FORM},
    "stop": ["x"],
    "stream_options": {"include_usage": True},
    "max_tokens": 9,
    "max_completion_tokens": 9,
    **dict.fromkeys(("temperature", "top_p", "top_k", "n", "seed", "frequency_penalty"), 1),
    "logit_bias": {"1": 1},
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "user": "u",
    "metadata": {"a": "b"},
}
LEGACY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
    "functions": [{"name": "f", "parameters": SCHEMA}],
    "function_call": {"name": "f"},
}
MESSAGE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9000,
    "system": [{"type": "text", "text": "s", "cache_control": CACHED}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, "title": "t"},
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "a"}]},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "b"}},
                {"type": "server_tool_use", "id": "s", "name": "tool_search_tool_regex", "input": {}},
                {"type": "tool_search_tool_result", "tool_use_id": "s", "content": {"type": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "content": [{"type": "text", "text": "1"}],
                    "is_error": True,
                },
            ],
        },
    ],
    "tools": [
        {"name": "f", "description": "d", "input_schema": SCHEMA, "cache_control": CACHED},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "tool_search_tool_regex_20251119", "name": "search"},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    **dict.fromkeys(("temperature", "top_p", "top_k"), 1),
}
RESPONSE: dict[str, Any] = {
    "model": "m",
    "instructions": "s",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_file", "filename": "f", "file_data": "data:text/plain;base64,AAAA"},
            ],
        },
        {"type": "message", "role": "developer", "content": "s"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "2"},
        {"type": "web_search_call", "id": "w"},
        {"type": "additional_tools", "tools": [{"type": "function", "name": "h"}]},
    ],
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "allowed_tools", **ALLOWED},
    "text": {"format": {"type": "json_schema", **FORM}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "max_output_tokens": 99,
    **dict.fromkeys(("temperature", "top_p"), 1),
    "safety_identifier": "u",
}
COMPLETION: dict[str, Any] = {
    "model": "m",
    "prompt": ["a", "b"],
    "stop": ["x"],
    "suffix": "",
    "echo": True,
    "stream_options": {"include_usage": True},
    **dict.fromkeys(("n", "best_of", "max_tokens", "temperature", "top_p", "top_k", "seed", "frequency_penalty"), 1),
    "logit_bias": {"1": 1},
    "user": "u",
}
READERS: dict[str, tuple[dict[str, Any], Callable[[bytes, dict[str, Any]], Request]]] = {
    "chat": (CHAT, lambda raw, body: openai.read_chat(raw, body, Policy())),
    "functions": (LEGACY, lambda raw, body: openai.read_chat(raw, body, Policy())),
    "completion": (COMPLETION, lambda raw, body: openai.read_completion(raw, body, Policy())),
    "message": (MESSAGE, lambda raw, body: messages.read_message(raw, body, Policy(), {})),
    "response": (RESPONSE, lambda raw, body: responses_relay.read_request(raw, body, Policy())),
    "embedding": (
        {"model": "m", "input": ["a", [1]], "dimensions": 8, "encoding_format": "float", "user": "u"},
        lambda raw, body: embeddings.read_embedding(raw, body, Policy()),
    ),
}


def with_each_place(value: Any, odd: Any) -> Iterator[Any]:
    """Yield the value with something odd at each place within it, one at a time."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, held in list(places):
        for changed in (odd, *with_each_place(held, odd)):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[place] = changed
            yield copy


def write_everywhere(asked: Conversation) -> None:
    chat.losses(asked)
    orjson.dumps(chat.write_conversation(asked, model="m", stream=True, hints=True))
    responses.losses(asked)
    orjson.dumps(responses.write_conversation(asked, model="m", stream=True))
    if not anthropic.obstacle(asked):
        anthropic.losses(asked, max_tokens=9000)
        orjson.dumps(anthropic.write_conversation(asked, model="m", stream=True, max_tokens=9000, native_json=True))


@pytest.mark.parametrize("form", READERS)
def test_it_works(form: str) -> None:
    body, read = READERS[form]
    asked = read(orjson.dumps(body), body).conversation
    if form == "embedding":
        with pytest.raises(Untranslatable):
            asked.get()
    else:
        write_everywhere(asked.get())


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: orjson.dumps(odd).decode())
@pytest.mark.parametrize("form", READERS)
def test_what_is_odd_is_read_or_refused(form: str, odd: Any) -> None:
    body, read = READERS[form]
    for changed in with_each_place(body, odd):
        with suppress(InvalidRequest, Untranslatable):
            write_everywhere(read(orjson.dumps(changed), changed).conversation.get())
