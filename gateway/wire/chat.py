"""Chat completions as conversations: what a caller of OpenAI's format asks, read and written.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from gateway.conversation import (
    AnswerForm,
    Conversation,
    Document,
    Reasoning,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    Untranslatable,
)
from gateway.exchange import Policy
from gateway.wire import allowed_tools, chat_functions
from gateway.wire import chat_messages as said
from gateway.wire.fields import Fields
from gateway.wire.turns import merged

# What is read, and what the gateway keeps for itself.
_READ: Final = frozenset(
    {*Policy.FIELDS, "model", "messages", "stream", "stream_options", "tools", "tool_choice", "user"}
)
_READ_TOO: Final = frozenset({"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"})
_READ_AS_WELL: Final = frozenset({"parallel_tool_calls", "response_format"})
# What changes the form of an answer, with the values that do not; the last two lines are of vLLM and llama.cpp.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "functions": ([],),
    **dict.fromkeys(("audio", "function_call", "web_search_options", "prediction", "moderation"), ()),
    **dict.fromkeys(("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"), ()),
    **dict.fromkeys(("grammar", "json_schema"), ()),
}
_HAS_A_PLACE: Final = _READ | _READ_TOO | _READ_AS_WELL | _FORM.keys()
# What says no more than its absence would.
_IDLE: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), (0,)),
    **dict.fromkeys(("logit_bias", "metadata"), ({},)),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
_CHOICES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {"auto": "auto", "none": "none", "required": "any"}
_CHOICES_WRITTEN: Final = {kind: name for name, kind in _CHOICES.items()}
_LONGEST_USER: Final = 64
_USUAL_NAME: Final = "answer"

_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
# Every model that thinks knows these three; the others have the nearest of them.
_WRITTEN: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
# Budgets in tokens up to which an effort is low, and medium; those by which Anthropic is told efforts lie between them.
_LOW: Final = 4096
_MEDIUM: Final = 12288


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return what the body of a chat asks; system messages come first wherever they stood.

    Raises `InvalidRequest` with the path of a field that is wrong, and `Untranslatable` for one that asks for a form of
    answer which other formats do not have. All other fields without a counterpart are named in `dropped`.
    """
    fields = chat_functions.as_tools(fields)
    for name, harmless in _FORM.items():
        if fields.get(name) is not None and fields[name] not in harmless:
            raise Untranslatable(name)
    told = Fields(fields)
    messages = told.each("messages")
    if not messages:
        raise told.refusal("messages", "must be a list with at least one message.")
    reasoning = _read_effort(told)
    choice, tools = _read_choice(told, tuple(_read_tool(tool) for tool in told.each("tools")))
    return Conversation(
        turns=merged(said.read_turn(message) for message in messages if said.role_of(message) != "system"),
        system=tuple(
            text for message in messages if said.role_of(message) == "system" for text in said.read_system(message)
        ),
        tools=tools,
        tool_choice=choice,
        parallel_tools=told.optional("parallel_tool_calls", bool),
        max_tokens=told.first_positive("max_completion_tokens", "max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=(told.text("stop"),) if isinstance(fields.get("stop"), str) else told.texts("stop"),
        user=told.optional("user", str) or told.optional("safety_identifier", str),
        form=_read_form(told),
        reasoning=reasoning,
        dropped=tuple(_dropped(told, messages, reasoning)),
    )


def write_conversation(
    conversation: Conversation,
    *,
    model: str,
    stream: bool,
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens",
    hints: bool = False,
    back: said.Back = "",
) -> dict[str, Any]:
    """Return the body of a chat. `limit` names the field for max_tokens: many servers know only the older one.
    `hints` tells whether the hints for the cache go along, on the parts of messages, and `back` how the reasoning of
    earlier turns does.

    What `losses` names is left out. A user's name is cut to the 64 characters that OpenAI takes. A budget of reasoning
    is told as an effort: low below 4,096 tokens, medium below 12,288, else high. That there is to be none is not told,
    since models that cannot think refuse the word.
    """
    messages = list(said.write_messages(conversation.system, conversation.turns, hints=hints, back=back))
    body: dict[str, Any] = {"model": model, "messages": messages}
    if conversation.tools:
        body["tools"] = [_write_tool(tool) for tool in conversation.tools]
        body["tool_choice"] = _write_choice(conversation.tool_choice)
        body["parallel_tool_calls"] = conversation.parallel_tools
    body |= conversation.extras
    body |= {
        limit: conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop) or None,
        "user": conversation.user and conversation.user[:_LONGEST_USER],
        "response_format": _write_form(conversation.form) if conversation.form else None,
        "reasoning_effort": _write_effort(conversation.reasoning) if conversation.reasoning else None,
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
    }
    return {name: value for name, value in body.items() if value is not None}


def losses(conversation: Conversation, *, hints: bool = False, back: said.Back = "") -> tuple[str, ...]:
    """Return the names of what `write_conversation` leaves out.

    OpenAI has no top_k, takes no reasoning back, reads no document at an address, and keeps prompts without a hint;
    where `hints` go along, those of calls and tools still have no place, and reasoning that goes `back` is its text.
    """
    blocks = list(conversation.blocks())
    holders = [*conversation.system, *conversation.tools, *(each for each in blocks if not isinstance(each, Thought))]
    lost = {
        "tool_choice": conversation.forces_nothing,
        "top_k": conversation.top_k is not None,
        "thinking": any(isinstance(block, Thought) and not said.goes_back(block, back) for block in blocks),
        "is_error": any(isinstance(block, ToolResult) and block.is_error for block in blocks),
        "document": any(isinstance(block, Document) and block.url for block in blocks),
        "cache_control": any(holder.cache for holder in holders if not (hints and said.is_hinted(holder))),
    }
    return tuple(name for name, is_lost in lost.items() if is_lost)


# --- reading ----------------------------------------------------------------------------------------------------------


def _dropped(told: Fields, messages: Sequence[Fields], reasoning: Reasoning | None) -> Iterator[str]:
    read = {"reasoning_effort"} if reasoning else set()
    read |= set() if told.values.get("user") else {"safety_identifier"}
    for name, value in told.values.items():
        if name not in _HAS_A_PLACE and name not in read and value is not None and value not in _IDLE.get(name, ()):
            yield name
    if any(message.values.get("name") for message in messages):
        yield "messages[].name"


def _read_form(told: Fields) -> AnswerForm | None:
    """Return the JSON that a body asks for. Some servers take a schema beside `json_object`."""
    form = told.inner("response_format")
    kind = form.required("type", str) if form else "text"
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return AnswerForm(form.optional("schema", dict))
    if kind != "json_schema":
        raise Untranslatable(form.at("type"))
    told = Fields(form.required("json_schema", dict), form.at("json_schema"))
    schema, strict = told.optional("schema", dict), told.optional("strict", bool)
    return AnswerForm(schema, told.text("name"), told.text("description"), strict)


def _read_effort(told: Fields) -> Reasoning | None:
    effort = told.values.get("reasoning_effort")
    return Reasoning(effort) if isinstance(effort, str) and effort in _EFFORTS else None


def _read_tool(tool: Fields) -> Tool:
    if tool.values.get("type") != "function":
        raise Untranslatable(tool.at("type"))
    function = Fields(tool.required("function", dict), tool.at("function"))
    return Tool(
        function.required("name", str),
        function.text("description"),
        function.optional("parameters", dict),
        function.optional("strict", bool),
        tool.optional("cache_control", dict) or function.optional("cache_control", dict),
    )


def _read_choice(told: Fields, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """Return which tool is to be called, and the tools that may be."""
    choice = told.values.get("tool_choice")
    if choice is None:
        return None, tools
    if isinstance(choice, str) and choice in _CHOICES:
        return ToolChoice(_CHOICES[choice]), tools
    if not isinstance(choice, dict):
        raise told.refusal("tool_choice", "must be none, auto, required or a function.")
    chosen = Fields(choice, "tool_choice")
    if choice.get("type") == allowed_tools.KIND:
        allowed = Fields(chosen.required(allowed_tools.KIND, dict), chosen.at(allowed_tools.KIND))
        return allowed_tools.read(allowed, map(_read_name, allowed.each("tools")), tools)
    if choice.get("type") != "function":
        raise Untranslatable("tool_choice")
    return ToolChoice("tool", _read_name(chosen)), tools


def _read_name(chosen: Fields) -> str:
    """Return the name of a function that is chosen; empty for a tool of another type."""
    if chosen.values.get("type") != "function":
        return ""
    return Fields(chosen.required("function", dict), chosen.at("function")).required("name", str)


# --- writing ----------------------------------------------------------------------------------------------------------


def _write_form(form: AnswerForm) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    told = {
        "name": form.name or _USUAL_NAME,
        "description": form.description or None,
        "schema": form.schema,
        "strict": form.strict,
    }
    return {"type": "json_schema", "json_schema": {name: value for name, value in told.items() if value is not None}}


def _write_effort(reasoning: Reasoning) -> str | None:
    if reasoning.effort or reasoning.budget is None:
        return _WRITTEN.get(reasoning.effort)
    if reasoning.budget < _LOW:
        return "low"
    return "medium" if reasoning.budget < _MEDIUM else "high"


def _write_tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _write_choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.kind == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES_WRITTEN[choice.kind]
