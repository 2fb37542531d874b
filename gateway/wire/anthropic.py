"""Anthropic's wire format: Messages as conversations, read and written, and its errors.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.conversation import Conversation, Image, Text, Thought, Untranslatable
from gateway.errors import GatewayError, InvalidRequest, Rejected
from gateway.exchange import Policy
from gateway.wire import anthropic_blocks as blocks
from gateway.wire import anthropic_manner as manners
from gateway.wire import anthropic_tools as offered
from gateway.wire.fields import Fields
from gateway.wire.turns import merged

_READ: Final = frozenset({*Policy.FIELDS, "model", "messages", "system", "stream", "max_tokens", "temperature"})
_READ_TOO: Final = frozenset({"top_p", "top_k", "stop_sequences", "metadata", "tools", "tool_choice", "thinking"})
_READ_AS_WELL: Final = frozenset({"output_config", "output_format"})
# What changes the form of an answer, with the values that do not.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {"container": (), "mcp_servers": ([],)}
_HAS_A_PLACE: Final = _READ | _READ_TOO | _READ_AS_WELL | _FORM.keys()
_LONGEST_USER: Final = 256

ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MOST_MODELS: Final = 1000
"""How many a caller may ask for on one page of their list."""
OVERLOADED: Final = 529
"""The status that Anthropic alone has: too much to do, for all callers."""


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return what the body of a message asks; messages of the system come first wherever they stood.

    Raises `InvalidRequest` with the path of a field that is wrong, and `Untranslatable` for one that asks for a form of
    answer, or holds a content, which other formats do not have, such as a file that Anthropic keeps. All other fields
    without a counterpart, such as `context_management`, and the tools that it runs itself, are named in `dropped`.
    """
    for name, harmless in _FORM.items():
        if fields.get(name) is not None and fields[name] not in harmless:
            raise Untranslatable(name)
    if fields.get("max_tokens") == 0:  # which only fills the cache
        raise Untranslatable("max_tokens")
    told = Fields(fields)
    messages, tools = told.each("messages"), told.each("tools")
    if not messages:
        raise told.refusal("messages", "must be a list with at least one message.")
    system = blocks.read_system(told, "system")
    for message in messages:
        system += blocks.read_system(message, "content") if message.values.get("role") == "system" else []
    metadata, choice = told.inner("metadata"), told.inner("tool_choice")
    alone = choice.optional("disable_parallel_tool_use", bool) if choice else None
    return Conversation(
        turns=merged(blocks.read_turn(message) for message in messages if message.values.get("role") != "system"),
        system=tuple(system),
        tools=offered.read_tools(tools),
        tool_choice=offered.read_choice(choice, tools) if choice else None,
        parallel_tools=None if alone is None else not alone,
        max_tokens=told.positive("max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=told.texts("stop_sequences"),
        user=metadata.optional("user_id", str) if metadata else None,
        form=manners.read_form(told),
        reasoning=manners.read_reasoning(told),
        dropped=tuple(_dropped(told, messages, tools)),
    )


def write_conversation(
    conversation: Conversation, *, model: str, stream: bool, max_tokens: int, native_json: bool = False
) -> dict[str, Any]:
    """Return the body of a message; `max_tokens`, which is mandatory, is for a conversation that does not say its own.

    `native_json` tells whether the model takes the schema of an answer; `form_tool` names the tool whose arguments are
    the answer where it does not. What Anthropic refuses is left out: blank texts, blank stop sequences, reasoning
    without its signature, the white space at the end of a beginning of the answer. A conversation that the user does
    not begin is begun for them. What else is changed is named by `losses`. Raises `InvalidRequest` for arguments of a
    tool that are no JSON object.
    """
    room = conversation.max_tokens or max_tokens
    manner = manners.manner(conversation, max_tokens=room, native_json=native_json)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": room,
        "messages": blocks.write_messages(conversation.turns),
        "system": blocks.write_system(_system(conversation, manner.form)) or None,
        "stop_sequences": [stop for stop in conversation.stop if stop.strip()] or None,
        "metadata": {"user_id": conversation.user[:_LONGEST_USER]} if conversation.user else None,
        "thinking": manner.thinking,
        "output_config": _output_config(conversation, manner) or None,
        "stream": stream or None,
        **manner.sampling,
        **_tools(conversation, manner.form),
    }
    return {name: value for name, value in body.items() if value is not None}


def losses(conversation: Conversation, *, max_tokens: int, native_json: bool = False) -> Sequence[str]:
    """Return the names of what `write_conversation` changes or leaves out.

    No model knows reasoning again that has no signature, and Anthropic looks at every picture alike.
    """
    room = conversation.max_tokens or max_tokens
    manner = manners.manner(conversation, max_tokens=room, native_json=native_json)
    said = list(conversation.blocks())
    lost = {
        "stop": any(not stop.strip() for stop in conversation.stop),
        "tool_choice": conversation.forces_nothing,
        "thinking": any(isinstance(block, Thought) and not blocks.is_anthropics(block) for block in said),
        "image_url.detail": any(isinstance(block, Image) and block.detail not in {"", "auto"} for block in said),
    }
    return (*conversation.extras, *manner.lost, *(name for name, is_lost in lost.items() if is_lost))


def form_tool(conversation: Conversation, *, max_tokens: int, native_json: bool = False) -> str:
    """Return the name of the tool whose arguments are the answer, for its reader; empty where there is none."""
    room = conversation.max_tokens or max_tokens
    return manners.form_tool(conversation, max_tokens=room, native_json=native_json)


def obstacle(conversation: Conversation) -> str:
    """Return what `write_conversation` would refuse; empty if it can be written."""
    return next((fault for turn in conversation.turns if (fault := blocks.fault(turn.blocks))), "")


def write_model(
    model_id: str, *, created: int, max_input_tokens: int | None = None, max_tokens: int | None = None
) -> dict[str, Any]:
    """Return a model in Anthropic's shape; `created` in Unix seconds, the most tokens None where nobody knows."""
    at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    told = {"type": "model", "id": model_id, "display_name": model_id, "created_at": at, "lifecycle": "active"}
    return {**told, "max_input_tokens": max_input_tokens, "max_tokens": max_tokens}


def write_models(listed: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the page of a list of models that a query asks for: `limit` of them, `after_id` or `before_id`.

    Without a limit it is all that there are, since not every client turns pages. Raises `InvalidRequest`.
    """
    place = {model["id"]: index for index, model in enumerate(listed)}
    for name in ("after_id", "before_id"):
        if name in asked and asked[name] not in place:
            raise InvalidRequest(f"`{name}` is the id of no model in the list.", param=name)
    first = place[asked["after_id"]] + 1 if "after_id" in asked else 0
    end = place[asked["before_id"]] if "before_id" in asked else len(listed)
    rest, most = listed[first:end], _limit(asked)
    is_backwards = "before_id" in asked
    page = rest if most is None else rest[-most:] if is_backwards else rest[:most]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return {"data": page, "has_more": len(page) < len(rest), **ends}


def _limit(asked: Mapping[str, str]) -> int | None:
    given = asked.get("limit")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 4 and 1 <= int(given) <= MOST_MODELS):
        raise InvalidRequest(f"`limit` must be a whole number from 1 to {MOST_MODELS}.", param="limit")
    return int(given)


def error_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return an error in Anthropic's shape; what a provider said in it of the caller's own doing is handed on as it is.

    A prompt that is too long is told in the words by which agents know that they must shorten it.
    """
    message = error.message
    if isinstance(error, Rejected) and error.body is not None:
        if error.body.get("type") == "error":
            return error.body
        message = error.body["error"]["message"]
    if error.code == "context_length_exceeded" and "prompt is too long" not in message:
        message = f"prompt is too long: {message}"
    usual = "invalid_request_error" if error.status < 500 else "api_error"
    told = {"type": ERROR_TYPES.get(error.status, usual), "message": message}
    return {"type": "error", "error": told, "request_id": request_id}


def _dropped(told: Fields, messages: Sequence[Fields], tools: Sequence[Fields]) -> Iterator[str]:
    yield from (name for name, value in told.values.items() if name not in _HAS_A_PLACE and value is not None)
    metadata = told.optional("metadata", dict) or {}
    yield from (f"metadata.{name}" for name, value in metadata.items() if name != "user_id" and value is not None)
    yield from manners.passed_over(told)
    yield from blocks.passed_over(messages)
    yield from offered.passed_over(tools)


def _system(conversation: Conversation, form: manners.Way) -> Sequence[Text]:
    """Return what the system says; an instruction comes last, so that what stands before it is found in the cache."""
    if conversation.form is None or form != "instruction":
        return conversation.system
    return (*conversation.system, manners.as_instruction(conversation.form))


def _output_config(conversation: Conversation, manner: manners.Manner) -> dict[str, Any]:
    format_ = {"format": manners.as_format(conversation.form)} if conversation.form and manner.form == "native" else {}
    return format_ | (manners.write_effort(conversation.reasoning) if manner.thinking else {})


def _tools(conversation: Conversation, form: manners.Way) -> dict[str, Any]:
    if conversation.form and form == "tool":
        tool = offered.write_tool(manners.as_tool(conversation.form))
        choice = {"type": "tool", "name": tool["name"], "disable_parallel_tool_use": True}
        return {"tools": [tool], "tool_choice": choice}
    if not conversation.tools:
        return {}
    tools = [offered.write_tool(tool) for tool in conversation.tools]
    return {"tools": tools, "tool_choice": offered.write_choice(conversation)}
