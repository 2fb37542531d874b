"""The Responses API as conversations: what a caller asks there, read and written.

Source: the public API reference of OpenAI and the types of its official SDK. The gateway keeps no state, so whatever
stands for something that the server remembers is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.conversation import AnswerForm, Conversation, Reasoning, Text, Thought, ToolResult, Untranslatable
from gateway.exchange import Policy
from gateway.wire import responses_items, responses_tools
from gateway.wire.fields import Fields
from gateway.wire.turns import merged

# What is read, what is told again in the answer, and what the gateway keeps for itself.
_READ: Final = frozenset(
    {*Policy.FIELDS, "model", "input", "instructions", "stream", "stream_options", "tools", "tool_choice", "text"}
)
_READ_TOO: Final = frozenset(
    {"parallel_tool_calls", "max_output_tokens", "temperature", "top_p", "reasoning", "include", "user", "metadata"}
)
# With the values that lose nothing.
_HARMLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "store": (True, False),
    "background": (False,),
    "truncation": ("disabled",),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "text.verbosity": ("medium",),
}
_STATE: Final = ("previous_response_id", "conversation", "prompt", "background")
_LOGPROBS: Final = "message.output_text.logprobs"
_OWN_INCLUDE: Final = frozenset({"reasoning.encrypted_content"})
_HAS_A_PLACE: Final = _READ | _READ_TOO
_LONGEST_USER: Final = 64
_LEAST_TOKENS: Final = 16
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
# Every model that thinks knows these three; the others have the nearest of them.
_WRITTEN: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
# Budgets in tokens up to which an effort is low, and medium.
_LOW: Final = 4096
_MEDIUM: Final = 12288


def refuse_state(fields: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for what only a server can answer that remembers earlier requests."""
    told = Fields(fields)
    for name in _STATE:
        if fields.get(name):
            why = "is not supported: this server keeps no state. Send all previous items in `input`."
            raise told.refusal(name, why)
    for index, item in enumerate(fields["input"] if isinstance(fields.get("input"), list) else ()):
        if isinstance(item, dict) and responses_items.kind_of(item) == "item_reference":
            why = "refers to an item that this server did not keep. Send the item itself."
            raise told.refusal(f"input[{index}]", why)


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return what the body of a request for a response asks; system messages come first wherever they stood.

    Raises `InvalidRequest` with the path of a field that is wrong or stands for a state, and `Untranslatable` for one
    that asks for a form of answer, or holds a content, which other formats do not have. All other fields without a
    counterpart are named in `dropped`.
    """
    refuse_state(fields)
    told = Fields(fields)
    items = responses_items.items_of(told)
    if fields.get("top_logprobs") or _LOGPROBS in told.texts("include"):
        raise Untranslatable("top_logprobs" if fields.get("top_logprobs") else "include")
    offered, left_out = responses_tools.read_tools(told, items)
    choice, tools = responses_tools.read_choice(told, offered)
    effort = _read_effort(told)
    system = [Text(text)] if (text := told.text("instructions")) else []
    return Conversation(
        turns=merged(turn for item in items for turn in responses_items.read_item(item)),
        system=(
            *system,
            *(text for item in items for text in responses_items.read_system(item)),
        ),
        tools=tools,
        tool_choice=choice,
        parallel_tools=told.optional("parallel_tool_calls", bool),
        max_tokens=told.positive("max_output_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        user=told.optional("user", str) or told.optional("safety_identifier", str),
        form=_read_form(told),
        reasoning=Reasoning(effort) if effort else None,
        dropped=(*_dropped(told), *left_out, *responses_items.passed_over(items)),
    )


def write_conversation(conversation: Conversation, *, model: str, stream: bool) -> dict[str, Any]:
    """Return the body of a request for a response, which the provider is not to store.

    What `losses` names is left out or changed. A user's name is cut to the 64 characters that OpenAI takes. A budget of
    reasoning is told as an effort: low below 4,096 tokens, medium below 12,288, else high. That there is to be none is
    not told, since models that cannot think refuse the word.
    """
    body: dict[str, Any] = {"model": model, "input": [*responses_items.write(conversation.turns)]}
    if conversation.tools:
        body["tools"] = [responses_tools.write_tool(tool) for tool in conversation.tools]
        body["tool_choice"] = responses_tools.write_choice(conversation.tool_choice)
        body["parallel_tool_calls"] = conversation.parallel_tools
    effort = _write_effort(conversation.reasoning) if conversation.reasoning else None
    body |= {
        "instructions": "\n\n".join(text.text for text in conversation.system if text.text) or None,
        "max_output_tokens": conversation.max_tokens and max(_LEAST_TOKENS, conversation.max_tokens),
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "text": {"format": _write_form(conversation.form)} if conversation.form else None,
        "reasoning": {"effort": effort} if effort else None,
        "user": conversation.user and conversation.user[:_LONGEST_USER],
        "store": False,
        "stream": stream or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def losses(conversation: Conversation) -> tuple[str, ...]:
    """Return the names of what `write_conversation` leaves out or changes.

    There is no top_k and no stop, reasoning is taken back only by whoever encrypted it, prompts are kept without a
    hint, and fewer than 16 tokens of answer are refused, so that 16 are asked for.
    """
    blocks = [*conversation.blocks()]
    known = [block for block in blocks if not isinstance(block, Thought)]
    lost = {
        "tool_choice": conversation.forces_nothing,
        "top_k": conversation.top_k is not None,
        "stop": bool(conversation.stop),
        "max_tokens": (conversation.max_tokens or _LEAST_TOKENS) < _LEAST_TOKENS,
        "thinking": len(known) < len(blocks),
        "is_error": any(isinstance(block, ToolResult) and block.is_error for block in blocks),
        "cache_control": any(holder.cache for holder in (*conversation.system, *conversation.tools, *known)),
    }
    return (*conversation.extras, *(name for name, is_lost in lost.items() if is_lost))


def _dropped(told: Fields) -> Iterator[str]:
    read = set() if told.values.get("user") else {"safety_identifier"}
    for name, value in told.values.items():
        if value is not None and name not in _HAS_A_PLACE | read and value not in _HARMLESS.get(name, ()):
            yield name
    inner = {"text": {"format"}, "reasoning": {"summary", "generate_summary"}}
    if _read_effort(told):
        inner["reasoning"].add("effort")
    for name, known in inner.items():
        for key, value in (told.optional(name, dict) or {}).items():
            path = f"{name}.{key}"
            if key not in known and value is not None and value not in _HARMLESS.get(path, ()):
                yield path
    if set(told.texts("include")) - _OWN_INCLUDE:
        yield "include"


def _read_form(told: Fields) -> AnswerForm | None:
    text = told.inner("text")
    form = text.inner("format") if text else None
    match form.required("type", str) if form else "text":
        case "text":
            return None
        case "json_object":
            return AnswerForm()
        case "json_schema" if form:
            return AnswerForm(
                form.required("schema", dict),
                form.text("name"),
                form.text("description"),
                form.optional("strict", bool),
            )
    raise Untranslatable("text.format.type")


def _write_form(form: AnswerForm) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    told = {
        "type": "json_schema",
        "name": form.name or "answer",
        "description": form.description or None,
        "schema": form.schema,
        "strict": form.strict,
    }
    return {name: value for name, value in told.items() if value is not None}


def _read_effort(told: Fields) -> str:
    """Return how much the model is to think; empty where that is not said in one of the known words."""
    effort = (told.optional("reasoning", dict) or {}).get("effort")
    return effort if isinstance(effort, str) and effort in _EFFORTS else ""


def _write_effort(reasoning: Reasoning) -> str | None:
    if reasoning.effort or reasoning.budget is None:
        return _WRITTEN.get(reasoning.effort)
    if reasoning.budget < _LOW:
        return "low"
    return "medium" if reasoning.budget < _MEDIUM else "high"
