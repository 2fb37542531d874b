"""How an Anthropic model is to answer: how much it thinks before, in which form of JSON, at which temperature.

Source: the public API reference of Anthropic and the types of its official SDK. Not all of this goes together there:
who thinks takes no temperature and cannot be forced to call a tool, so what is to be said is decided here, once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from gateway.conversation import (
    AnswerForm,
    Conversation,
    Reasoning,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.wire.anthropic_blocks import is_anthropics
from gateway.wire.fields import Fields

_HOTTEST: Final = 1.0
_LEAST_BUDGET: Final = 1024
# The budget that stands for an effort, in tokens; `chat` has the bounds for the way back.
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": _LEAST_BUDGET,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}
_OUTPUT_CONFIG: Final = frozenset({"effort", "format"})
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME: Final = 64
_USUAL_NAME: Final = "answer"
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})  # what is said there is no schema
_ALTERNATIVES: Final = frozenset({"anyOf", "oneOf", "allOf", "$ref"})
_INSTRUCTION: Final = "Answer with one JSON object only: no words before or after it, and no code fence around it."

Way = Literal["", "native", "tool", "instruction"]


@dataclass(frozen=True, slots=True)
class Manner:
    """What a body says of thinking, of the form of the answer and of sampling; `lost` names what it does not say."""

    thinking: Mapping[str, Any] | None
    form: Way
    sampling: Mapping[str, float]
    lost: Sequence[str]


def manner(conversation: Conversation, *, max_tokens: int, native_json: bool) -> Manner:
    """Return how a conversation is to be answered, within this many tokens.

    Reasoning. An effort is told as a budget of 1,024 (minimal), 2,048, 8,192, 16,384, 24,576 or 32,768 tokens (max),
    but takes at most half of `max_tokens`; a budget that the caller names is raised to 1,024 if need be, and leaves at
    least one token for the answer. Where there is no room for 1,024, which Anthropic asks for, reasoning is left out
    and named; and so it is beside a tool that has to be called, before an answer that has been begun, and after calls
    of tools whose thinking the caller has not kept. With it, temperature, top_p and top_k are left out.

    JSON. Where the model knows it (`native_json`), a schema is a part of the request. Else it is that of a tool, which
    has to be called; and where that cannot be, since there are other tools or reasoning, or where there is no schema,
    an instruction in the system asks for the JSON, which `lost` names: nothing makes sure of it.
    """
    wished = conversation.reasoning is not None and conversation.reasoning.effort != "none"
    thinking = _thinking(conversation, max_tokens) if conversation.reasoning else None
    thinks = wished and thinking is not None
    form = _way(conversation, native=native_json, thinks=thinks)
    sampling, lost = _sampling(conversation, thinks=thinks)
    if wished and not thinks:
        lost.append("reasoning_effort")
    if form == "instruction":
        lost.append("response_format")
    return Manner(thinking, form, sampling, tuple(lost))


# --- reasoning --------------------------------------------------------------------------------------------------------


def read_reasoning(told: Fields) -> Reasoning | None:
    """Return how much a body wants its model to think; an effort without `thinking` is one as well."""
    thinking, config = told.inner("thinking"), told.inner("output_config")
    effort = config.text("effort") if config else ""
    if thinking is None:
        return Reasoning(effort) if effort else None
    match thinking.required("type", str):
        case "disabled":
            return Reasoning("none")
        case "enabled":
            return Reasoning(effort, thinking.positive("budget_tokens"))
        case _:
            return Reasoning(effort)


def write_effort(reasoning: Reasoning | None) -> dict[str, Any]:
    """Return the effort that goes with a budget, for `output_config`; without one it is told as a budget itself."""
    return {"effort": reasoning.effort} if reasoning and reasoning.effort and reasoning.budget is not None else {}


def _thinking(conversation: Conversation, max_tokens: int) -> Mapping[str, Any] | None:
    reasoning = conversation.reasoning or Reasoning()
    if reasoning.effort == "none":
        return {"type": "disabled"}
    if _forces_a_tool(conversation) or not _may_think(conversation.turns):
        return None
    if reasoning.budget is None and not reasoning.effort:
        return {"type": "adaptive"}
    if reasoning.budget is not None:
        budget = min(max(_LEAST_BUDGET, reasoning.budget), max_tokens - 1)
    else:
        budget = min(_BUDGETS.get(reasoning.effort, _BUDGETS["medium"]), max_tokens // 2)
    return {"type": "enabled", "budget_tokens": budget} if budget >= _LEAST_BUDGET else None


def _forces_a_tool(conversation: Conversation) -> bool:
    choice = conversation.tool_choice
    return bool(conversation.tools) and choice is not None and choice.kind in {"any", "tool"}


def _may_think(turns: Sequence[Turn]) -> bool:
    """Whether the turns may be gone on with by thinking: since the user last spoke, every turn must have begun so."""
    for turn in reversed(turns):
        if turn.role == "user":
            if not any(isinstance(block, ToolResult) for block in turn.blocks):
                return True
        elif turn is turns[-1] or (any(isinstance(block, ToolUse) for block in turn.blocks) and not _began(turn)):
            return False
    return True


def _began(turn: Turn) -> bool:
    """Whether a turn began with a thought that its model knows again."""
    first = next((block for block in turn.blocks if not isinstance(block, Text) or block.text.strip()), None)
    return isinstance(first, Thought) and is_anthropics(first)


def _sampling(conversation: Conversation, *, thinks: bool) -> tuple[dict[str, float], list[str]]:
    """Return what is told of sampling, and the names of what is changed or left out.

    A temperature goes to 2 in other formats and only to 1 here, so a higher one is brought down to 1; and new models
    refuse a `top_p` beside a temperature.
    """
    heat, top_p, top_k = conversation.temperature, conversation.top_p, conversation.top_k
    if thinks:
        lost = {"temperature": heat not in {None, 1.0}, "top_p": top_p not in {None, 1.0}, "top_k": top_k is not None}
        return {}, [name for name, is_lost in lost.items() if is_lost]
    told: dict[str, float | None] = {"temperature": None if heat is None else min(_HOTTEST, heat), "top_k": top_k}
    told["top_p"] = top_p if heat is None else None
    lost = {"temperature": (heat or 0) > _HOTTEST, "top_p": None not in {heat, top_p}}
    return {name: value for name, value in told.items() if value is not None}, [name for name in lost if lost[name]]


# --- forms of answers -------------------------------------------------------------------------------------------------


def read_form(told: Fields) -> AnswerForm | None:
    """Return the JSON that a body asks for; also under the name that it had at first."""
    config = told.inner("output_config")
    form = (config.inner("format") if config else None) or told.inner("output_format")
    if form is None:
        return None
    if form.required("type", str) != "json_schema":
        raise Untranslatable(form.at("type"))
    return AnswerForm(form.required("schema", dict))


def passed_over(told: Fields) -> Sequence[str]:
    """Return the paths within `output_config` that have no counterpart."""
    config = told.optional("output_config", dict) or {}
    lost = [name for name in config if name not in _OUTPUT_CONFIG and config[name] is not None]
    unknown = config.get("effort") not in {None, "", "none", *_BUDGETS}
    return [f"output_config.{name}" for name in (*lost, *(["effort"] if unknown else []))]


def form_tool(conversation: Conversation, *, max_tokens: int, native_json: bool) -> str:
    """Return the name of the tool whose arguments are the answer; empty where the answer is told in words."""
    chosen = manner(conversation, max_tokens=max_tokens, native_json=native_json) if conversation.form else None
    return _name(conversation.form) if conversation.form and chosen and chosen.form == "tool" else ""


def as_tool(form: AnswerForm) -> Tool:
    """Return the tool whose arguments are an answer of this form."""
    return Tool(_name(form), form.description or "Takes the answer. Call it to answer.", form.schema)


def as_format(form: AnswerForm) -> dict[str, Any]:
    """Return a form as Anthropic's own, in which no object may have properties that the schema does not name."""
    return {"type": "json_schema", "schema": _closed(form.schema)}


def as_instruction(form: AnswerForm) -> Text:
    """Return a form as what the system says."""
    if form.schema is None:
        return Text(_INSTRUCTION)
    purpose = f"\nWhat it is for: {form.description}" if form.description else ""
    return Text(f"{_INSTRUCTION} It has to match this JSON schema:\n{orjson.dumps(form.schema).decode()}{purpose}")


def _way(conversation: Conversation, *, native: bool, thinks: bool) -> Way:
    form = conversation.form
    if form is None:
        return ""
    if form.schema is None:
        return "instruction"
    if native:
        return "native"
    is_object = form.schema.get("type") == "object" and not _ALTERNATIVES & form.schema.keys()
    is_begun = bool(conversation.turns) and conversation.turns[-1].role == "assistant"
    return "instruction" if thinks or conversation.tools or is_begun or not is_object else "tool"


def _name(form: AnswerForm) -> str:
    return _NO_NAME.sub("_", form.name)[:_LONGEST_NAME] or _USUAL_NAME


def _closed(schema: Any, *, are_named: bool = False) -> Any:
    """Return a schema, or those that are named in an object, with no object open to other properties."""
    if isinstance(schema, list):
        return [_closed(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    if are_named:
        return {name: _closed(inner) for name, inner in schema.items()}
    closed = {
        name: inner if name in _VALUES else _closed(inner, are_named=name in _NAMED) for name, inner in schema.items()
    }
    kind = closed.get("type")
    is_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
    return {"additionalProperties": False, **closed} if is_object else closed
