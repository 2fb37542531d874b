"""What conversations are made of, described: messages, parts and tools, as the readers in `wire` take them."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.openapi.schemas import (
    ANYTHING,
    Schema,
    among,
    asked,
    constant,
    either,
    listed,
    mapped,
    or_null,
    ref,
    switch,
    text,
)

_CACHE: Final = {"cache_control": mapped(ANYTHING, "A hint for Anthropic's cache of prompts.")}
_TYPE: Final = "type"


def _part(kind: str, properties: Mapping[str, Schema], *required: str, about: str = "") -> Schema:
    return asked({_TYPE: constant(kind), **properties}, required=(_TYPE, *required), about=about)


def _content(*parts: str, about: str = "") -> Schema:
    """Return what is said as a text, or in a list of parts of these kinds."""
    return either(text(), listed(either(*(ref(part) for part in parts))), about=about)


def _message(role: Sequence[str], properties: Mapping[str, Schema], *required: str) -> Schema:
    return asked({"role": among(role), **properties}, required=("role", *required))


_LINK: Final = text(pattern="^(https?://|data:[^,]+;base64,)", examples=["https://example.com/cat.png"])
_FUNCTION: Final = {
    "name": text(),
    "description": text(),
    "parameters": mapped(ANYTHING, "A JSON schema of its arguments."),
    "strict": switch(),
}

CHAT: Final[Mapping[str, Schema]] = {
    "ChatMessage": either(
        *(ref(f"Chat{kind}Message") for kind in ("System", "User", "Assistant", "Tool", "Function")),
        about="What one side says. What is said by whom is checked where it has to be translated.",
    ),
    "ChatSystemMessage": _message(("system", "developer"), {"content": _content("ChatText"), **_CACHE}, "content"),
    "ChatUserMessage": _message(
        ("user",), {"content": _content("ChatText", "ChatImage", "ChatFile"), **_CACHE}, "content"
    ),
    "ChatAssistantMessage": _message(
        ("assistant",),
        {
            "content": _content("ChatText", "ChatRefusal"),
            "refusal": text(),
            "tool_calls": listed(ref("ChatToolCall")),
            "thinking_blocks": listed(
                either(ref("Thinking"), ref("RedactedThinking")),
                "Reasoning that its model knows again, as it answered.",
            ),
            **_CACHE,
        },
    ),
    "ChatToolMessage": _message(
        ("tool",),
        {"tool_call_id": text(), "content": _content("ChatText", "ChatImage", "ChatFile"), **_CACHE},
        "tool_call_id",
        "content",
    ),
    "ChatFunctionMessage": _message(
        ("function",), {"name": {"description": "The function's."}, "content": or_null(_content("ChatText"))}
    ),
    "ChatText": _part("text", {"text": text(), **_CACHE}, "text"),
    "ChatRefusal": _part("refusal", {"refusal": text()}, "refusal"),
    "ChatImage": _part(
        "image_url",
        {"image_url": asked({"url": _LINK, "detail": text(examples=["low"])}, required=("url",)), **_CACHE},
        "image_url",
    ),
    "ChatFile": _part(
        "file",
        {"file": asked({"file_data": _LINK, "filename": text()}, required=("file_data",)), **_CACHE},
        "file",
        about="A PDF, or a text.",
    ),
    "ChatToolCall": asked(
        {
            "id": text(),
            "type": constant("function"),
            "function": asked({"name": text(), "arguments": text("JSON of an object.")}, required=("name",)),
            **_CACHE,
        },
        required=("id", "function"),
    ),
    "ChatTool": asked(
        {
            "type": constant("function"),
            "function": asked({**_FUNCTION, **_CACHE}, required=("name",)),
            **_CACHE,
        },
        required=("type", "function"),
    ),
    "Thinking": _part("thinking", {"thinking": text(), "signature": text()}),
    "RedactedThinking": _part("redacted_thinking", {"data": text()}, "data"),
}

_SOURCE: Final = either(
    asked({_TYPE: constant("url"), "url": text()}, required=(_TYPE, "url")),
    asked({_TYPE: constant("base64"), "data": text(), "media_type": text()}, required=(_TYPE, "data", "media_type")),
)
_PLAIN_SOURCE: Final = asked({_TYPE: constant("text"), "data": text()}, required=(_TYPE, "data"))
_SHOWN: Final = ("MessageText", "MessageImage", "MessageDocument", "MessageSearchResult")

MESSAGES: Final[Mapping[str, Schema]] = {
    "Message": either(
        _message(
            ("user", "assistant"),
            {
                "content": _content(
                    *_SHOWN, *(f"Message{kind}" for kind in ("ToolUse", "ToolResult")), "Thinking", "RedactedThinking"
                )
            },
            "content",
        ),
        _message(("system",), {"content": _content("MessageText")}),
        about="What one side says. What is said by whom is checked where it has to be translated.",
    ),
    "MessageText": _part("text", {"text": text(), **_CACHE}, "text"),
    "MessageImage": _part("image", {"source": _SOURCE, **_CACHE}, "source"),
    "MessageDocument": _part(
        "document", {"source": either(_SOURCE, _PLAIN_SOURCE), "title": text(), **_CACHE}, "source"
    ),
    "MessageSearchResult": _part(
        "search_result",
        {"title": text(), "source": text(), "content": _content("MessageText"), **_CACHE},
        "title",
        "source",
        "content",
    ),
    "MessageToolUse": _part(
        "tool_use", {"id": text(), "name": text(), "input": mapped(ANYTHING), **_CACHE}, "id", "name", "input"
    ),
    "MessageToolResult": _part(
        "tool_result",
        {"tool_use_id": text(), "content": _content(*_SHOWN), "is_error": switch(), **_CACHE},
        "tool_use_id",
    ),
    "MessageTool": asked(
        {
            "type": text("`custom`, which may be left out, or one of Anthropic's own.", examples=["custom"]),
            "name": text(),
            "description": text(),
            "input_schema": mapped(ANYTHING, "A JSON schema of its arguments."),
            "strict": switch(),
            **_CACHE,
        },
        required=("name",),
    ),
}

_OUTPUT: Final = ("ResponseInputText", "ResponseInputImage", "ResponseInputFile")

RESPONSES: Final[Mapping[str, Schema]] = {
    "ResponseItem": either(
        *(
            ref(f"Response{kind}")
            for kind in ("UserMessage", "OtherMessage", "Call", "CustomCall", "CallOutput", "Reasoning")
        ),
        about="A message, a call, what came of it, or reasoning. Items that a server kept cannot be referred to.",
    ),
    "ResponseUserMessage": _message(("user",), {_TYPE: constant("message"), "content": _content(*_OUTPUT)}, "content"),
    "ResponseOtherMessage": _message(
        ("assistant", "system", "developer"),
        {_TYPE: constant("message"), "content": _content("ResponseInputText", "ResponseRefusal")},
        "content",
    ),
    "ResponseInputText": asked({_TYPE: among(("input_text", "output_text")), "text": text()}, required=(_TYPE, "text")),
    "ResponseRefusal": _part("refusal", {"refusal": text()}, "refusal"),
    "ResponseInputImage": _part("input_image", {"image_url": _LINK, "detail": text()}, "image_url"),
    "ResponseInputFile": either(
        _part("input_file", {"file_url": _LINK, "filename": text()}, "file_url"),
        _part("input_file", {"file_data": _LINK, "filename": text()}, "file_data"),
        about="A PDF, or an address of one.",
    ),
    "ResponseCall": _part(
        "function_call",
        {"call_id": text(), "name": text(), "namespace": text(), "arguments": text("JSON of an object.")},
        "call_id",
        "name",
    ),
    "ResponseCustomCall": _part(
        "custom_tool_call", {"call_id": text(), "name": text(), "namespace": text(), "input": text()}, "call_id", "name"
    ),
    "ResponseCallOutput": asked(
        {
            _TYPE: among(("function_call_output", "custom_tool_call_output")),
            "call_id": text(),
            "output": _content(*_OUTPUT),
        },
        required=(_TYPE, "call_id", "output"),
    ),
    "ResponseReasoning": _part(
        "reasoning",
        {
            "summary": listed(asked({"text": text()})),
            "content": listed(asked({"text": text()})),
            "encrypted_content": text("What its model knows it by, as it answered."),
        },
    ),
    "ResponseTool": either(
        _part("function", _FUNCTION, "name"),
        _part("custom", {"name": text(), "description": text(), "format": mapped(ANYTHING)}, "name"),
        _part("namespace", {"name": text(), "tools": listed(mapped(ANYTHING))}, "name"),
        _part("web_search", {}, about="Run by the provider: left out where another language is spoken."),
    ),
}
