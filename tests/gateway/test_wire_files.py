"""Files and hints for the cache go from a chat into a message and back."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.conversation import (
    Conversation,
    Document,
    Image,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.errors import InvalidRequest
from gateway.wire import anthropic, chat, responses

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
CHAT_PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
PDF = "data:application/pdf;base64,AAAA"
CACHED = {"type": "ephemeral"}


def data_url(text: bytes, media_type: str = "text/plain") -> str:
    return f"data:{media_type};base64,{base64.b64encode(text).decode()}"


def file(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}, **more}


def read(*messages: dict[str, Any], **fields: Any) -> Conversation:
    return chat.read_conversation({"messages": [*messages], **fields})


def to_anthropic(asked: Conversation) -> dict[str, Any]:
    body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=9)
    PARAMS.validate_python(body)
    return body


def to_chat(asked: Conversation) -> list[dict[str, Any]]:
    body = chat.write_conversation(asked, model="m", stream=False)
    CHAT_PARAMS.validate_python(body)
    messages: list[dict[str, Any]] = body["messages"]
    return messages


def test_it_works() -> None:
    asked = read({"role": "user", "content": [file(PDF), {"type": "text", "text": "Sum it up."}]})
    document = Document(data="AAAA", media_type="application/pdf", name="a.pdf")
    assert asked.turns == (Turn("user", (document, Text("Sum it up."))),)
    (message,) = to_anthropic(asked)["messages"]
    source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    assert message["content"][0] == {"type": "document", "source": source, "title": "a.pdf"}
    back = anthropic.read_conversation({"messages": [message]})
    assert back == asked
    assert to_chat(back)[0]["content"] == [file(PDF), {"type": "text", "text": "Sum it up."}]


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (data_url("é".encode()), Document(text="é", name="a.pdf")),
        (data_url(b"{}", "application/json"), Document(text="{}", name="a.pdf")),
        ("https://example.com/a.pdf", Document(url="https://example.com/a.pdf", name="a.pdf")),
    ],
)
def test_files_that_are_texts_or_elsewhere(data: str, document: Document) -> None:
    asked = read({"role": "user", "content": [file(data)]})
    assert asked.turns[0].blocks == (document,)
    assert anthropic.read_conversation(to_anthropic(asked)).turns == asked.turns


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "file", "file": {"file_id": "f"}}, "file.file_id"),
        (file(data_url(b"x", "application/msword")), "file.file_data"),
    ],
)
def test_files_that_only_openai_can_read(part: dict[str, Any], field: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        read({"role": "user", "content": [part]})
    assert raised.value.field == f"messages[0].content[0].{field}"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "file"}, "file"),
        ({"type": "file", "file": {}}, "file.file_data"),
        (file("AAAA"), "file.file_data"),
        (file(data_url(b"\xff")), "file.file_data"),
        (file("data:text/plain;base64,%"), "file.file_data"),
    ],
)
def test_a_file_that_is_wrong_is_named(part: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read({"role": "user", "content": [part]})
    assert raised.value.param == f"messages[0].content[0].{field}"


# --- documents of messages --------------------------------------------------------------------------------------------


def of_anthropic(*parts: dict[str, Any]) -> Conversation:
    return anthropic.read_conversation({"messages": [{"role": "user", "content": [*parts]}]})


def test_documents_without_a_place_in_a_chat() -> None:
    asked = of_anthropic(
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a"}, "title": "A"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "search_result", "source": "x.org", "title": "T", "content": [{"type": "text", "text": "found"}]},
    )
    texts = [part["text"] for part in to_chat(asked)[0]["content"]]
    assert texts == ["A: https://example.com/a", "A document:\n\nwords", "T (x.org):\n\nfound"]
    assert chat.losses(asked) == ("document",)


def test_a_document_has_a_name_for_openai() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    (message,) = to_chat(of_anthropic({"type": "document", "source": source}))
    assert message["content"] == [{"type": "file", "file": {"filename": "document.pdf", "file_data": PDF}}]


def test_what_a_tool_shows_is_shown_by_the_user() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    shown = [{"type": "text", "text": "Here."}, {"type": "document", "source": source, "title": "a.pdf"}]
    asked = of_anthropic({"type": "tool_result", "tool_use_id": "c", "content": shown})
    told, seen = to_chat(asked)
    assert told == {"role": "tool", "tool_call_id": "c", "content": "Here."}
    assert seen == {
        "role": "user",
        "content": [{"type": "text", "text": "What the tool call c shows:"}, file(PDF)],
    }


def test_what_a_tool_shows_in_a_chat() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = read({"role": "tool", "tool_call_id": "c", "content": [image, file(PDF)]})
    (result,) = asked.turns[0].blocks
    assert isinstance(result, ToolResult)
    assert [type(block) for block in result.content] == [Image, Document]
    kinds = [part["type"] for part in to_anthropic(asked)["messages"][0]["content"][0]["content"]]
    assert kinds == ["image", "document"]


@pytest.mark.parametrize("kind", ["content", "file"])
def test_documents_that_only_anthropic_can_read(kind: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        of_anthropic({"type": "document", "source": {"type": kind}})
    assert raised.value.field == "messages[0].content[0].source.type"


def test_what_a_document_has_beside_its_words_is_named() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "words"}
    asked = of_anthropic(
        {"type": "document", "source": source, "citations": {"enabled": True}, "context": "of a lawyer"}
    )
    assert asked.dropped == ("citations", "context")


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def of_response(*parts: dict[str, Any]) -> Conversation:
    return responses.read_conversation({"input": [{"role": "user", "content": [*parts]}]})


def test_files_of_responses_are_read_as_those_of_chats() -> None:
    given = {"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="}
    assert of_response({"type": "input_file", **given}) == read(
        {"role": "user", "content": [{"type": "file", "file": given}]}
    )
    (block,) = to_anthropic(of_response({"type": "input_file", **given}))["messages"][0]["content"]
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "hello"}
    with pytest.raises(Untranslatable, match="file_data"):
        of_response({"type": "input_file", "filename": "a.docx", "file_data": f"data:{DOCX};base64,AAAA"})


@pytest.mark.parametrize("kind", ["text/plain", "application/pdf"])
def test_an_empty_file_says_nothing(kind: str) -> None:
    given = {"filename": "a", "file_data": f"data:{kind};base64,"}
    asked = (
        read({"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "file", "file": given}]}),
        of_response({"type": "input_text", "text": "q"}, {"type": "input_file", **given}),
        of_anthropic(
            {"type": "text", "text": "q"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": " "}},
        ),
    )
    for conversation in asked:
        assert to_chat(conversation) == [{"role": "user", "content": "q"}]
        assert to_anthropic(conversation)["messages"][0]["content"] == [{"type": "text", "text": "q"}]


# --- hints for the cache ----------------------------------------------------------------------------------------------


def test_hints_wherever_a_chat_has_them() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    asked = read(
        {"role": "system", "content": "Be brief.", "cache_control": CACHED},
        {"role": "user", "content": [{"type": "text", "text": "a"}, file(PDF, cache_control=CACHED)]},
        {"role": "assistant", "content": "b", "tool_calls": [{**call, "cache_control": CACHED}]},
        {"role": "tool", "tool_call_id": "c", "content": "1", "cache_control": CACHED},
        {"role": "user", "content": [{"type": "text", "text": "d"}], "cache_control": CACHED},
        tools=[
            {"type": "function", "function": function, "cache_control": CACHED},
            {"type": "function", "function": {**function, "cache_control": CACHED}},
        ],
    )
    assert asked.dropped == ()
    body = to_anthropic(asked)
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": CACHED}]
    assert [tool["cache_control"] for tool in body["tools"]] == [CACHED, CACHED]
    hinted = [(part["type"], "cache_control" in part) for turn in body["messages"] for part in turn["content"]]
    assert hinted == [
        ("text", False),
        ("document", True),
        ("text", False),
        ("tool_use", True),
        ("tool_result", True),
        ("text", True),
    ]
    assert chat.losses(asked) == ("cache_control",)


def test_hints_go_on_to_chats_that_take_them() -> None:
    asked = of_anthropic(
        {"type": "text", "text": "a", "cache_control": CACHED},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": CACHED},
    )
    result = ToolResult("c", (Text("1"), Text("2")), cache=CACHED)
    said = (Turn("assistant", (Text("b", CACHED), Text("c"), ToolUse("c", "f", "{}"))), Turn("user", (result,)))
    asked = replace(asked, system=(Text("Be brief."), Text("Now.", CACHED)), turns=(*asked.turns, *said))
    written = chat.write_conversation(asked, model="m", stream=False, hints=True)["messages"]
    assert [message["role"] for message in written] == ["system", "user", "assistant", "tool"]
    hinted = [[(part["type"], part.get("cache_control")) for part in message["content"]] for message in written]
    assert hinted == [
        [("text", None), ("text", CACHED)],
        [("text", CACHED), ("image_url", CACHED)],
        [("text", CACHED), ("text", None)],
        [("text", None), ("text", CACHED)],
    ]
    assert chat.losses(asked, hints=True) == ()
    again = chat.read_conversation({"messages": written})
    assert (again.system, again.turns[0], again.turns[1]) == (asked.system, asked.turns[0], asked.turns[1])
    plain = chat.write_conversation(asked, model="m", stream=False)
    assert "cache_control" not in str(plain)
    assert plain["messages"][0]["content"] == "Be brief.\n\nNow."


@pytest.mark.parametrize(
    "asked",
    [
        Conversation(turns=(Turn("user", (Text("a"),)),), tools=(Tool("f", cache=CACHED),)),
        Conversation(turns=(Turn("assistant", (ToolUse("c", "f", "{}", CACHED),)),)),
        Conversation(turns=(Turn("user", (ToolResult("c", (), cache=CACHED),)),)),
        Conversation(turns=(Turn("user", (Text("", CACHED), Text("a"))),)),
    ],
)
def test_a_hint_without_a_part_is_named(asked: Conversation) -> None:
    assert chat.losses(asked, hints=True) == ("cache_control",)
    assert "cache_control" not in str(chat.write_conversation(asked, model="m", stream=False, hints=True))


def test_a_text_without_a_hint_stays_a_text() -> None:
    asked = Conversation(turns=(Turn("user", (Text("a"),)),), system=(Text("s"),))
    for hints in (False, True):
        written = chat.write_conversation(asked, model="m", stream=False, hints=hints)["messages"]
        assert [message["content"] for message in written] == ["s", "a"]


def test_a_hint_of_a_message_is_of_its_last_part() -> None:
    assert read({"role": "assistant", "content": "a", "reasoning_content": "hm", "cache_control": CACHED}).turns[
        0
    ].blocks[1:] == (Text("a", CACHED),)
    other = {"type": "ephemeral", "ttl": "1h"}
    part = {"type": "text", "text": "a", "cache_control": other}
    assert read({"role": "user", "content": [part], "cache_control": CACHED}).turns[0].blocks == (Text("a", other),)
    for message in ({"content": "", "cache_control": CACHED}, {"reasoning_content": "hm", "cache_control": CACHED}):
        assert read({"role": "assistant", **message}).dropped == ()
    with pytest.raises(InvalidRequest) as raised:
        read({"role": "user", "content": "a", "cache_control": "yes"})
    assert raised.value.param == "messages[0].cache_control"


def test_no_hint_is_lost_where_there_is_none() -> None:
    blocks = (Text("a"), ToolUse("c", "f", "{}"), ToolResult("c", (Text("1"),)))
    asked = Conversation(turns=tuple(Turn("user", (block,)) for block in blocks), tools=(Tool("f"),))
    assert chat.losses(asked) == ()
