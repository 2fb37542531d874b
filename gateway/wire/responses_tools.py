"""Tools of the Responses API as functions, the one kind of tool that every format has.

Source: the public API reference of OpenAI and the types of its official SDK. A custom tool, which takes any text, is a
function with that text as its one argument; a tool in a namespace is a function with both names as one, and a long name
is shortened. What a call of such a function was before is told by `origins`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from gateway.conversation import Tool, ToolChoice, Untranslatable
from gateway.wire import allowed_tools
from gateway.wire.fields import Fields, as_object, as_objects, as_text
from gateway.wire.names import short

# Run by the provider while it answers, or by an agent in a way that only OpenAI's own models were taught: their calls
# have a shape of their own. An agent that brings other tools can go on without them.
_DISPENSABLE: Final = frozenset(
    {
        *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
        *("image_generation", "tool_search"),
        *("local_shell", "shell", "apply_patch", "computer", "computer_use_preview"),
    }
)
_OFFERING: Final = frozenset({"additional_tools", "tool_search_output"})
"""The items of an input that offer more tools."""
_INPUT: Final = "input"
_NAMED: Final = frozenset({"function", "custom"})
_CHOICES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {"auto": "auto", "none": "none", "required": "any"}
_CHOICES_WRITTEN: Final = {kind: name for name, kind in _CHOICES.items()}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a function was to the caller: a function or a custom tool, in a namespace or in none."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str = ""


def joined_name(name: str, namespace: str) -> str:
    """Return the name of a function that stands for a tool in a namespace, no longer than other formats take it."""
    if not namespace:
        return short(name)
    return short(f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}")


def as_arguments(text: str) -> str:
    """Return the arguments of a function that stand for the input of a custom tool."""
    return orjson.dumps({_INPUT: text}).decode()


def as_input(arguments: str) -> str:
    """Return the input of a custom tool that the arguments of a function stand for; anything else as it is."""
    try:
        told = as_object(orjson.loads(arguments)).get(_INPUT)
    except orjson.JSONDecodeError:
        return arguments
    return told if isinstance(told, str) else arguments


def origins(fields: Mapping[str, Any]) -> dict[str, Origin]:
    """Return what the functions of a body were, by their names; plain functions are left out.

    Nothing is refused: a body that cannot be read has been refused before.
    """
    items = [item for item in as_objects(fields.get("input")) if as_text(item.get("type")) in _OFFERING]
    found: dict[str, Origin] = {}
    for holder in (fields, *items):
        for tool in as_objects(holder.get("tools")):
            namespace = as_text(tool.get("name")) if tool.get("type") == "namespace" else ""
            for inner in as_objects(tool.get("tools")) if namespace else [tool]:
                name = as_text(inner.get("name"))
                kind: Literal["function", "custom"] = "custom" if inner.get("type") == "custom" else "function"
                found.setdefault(joined_name(name, namespace), Origin(kind, name, namespace))
    return {name: origin for name, origin in found.items() if origin != Origin("function", name)}


def read_tools(told: Fields, items: Iterable[Fields]) -> tuple[Sequence[Tool], Sequence[str]]:
    """Return the tools that a body and the items of its input offer, and the names of those that are left out.

    Raises `Untranslatable` for a tool that is no function, unless it is dispensable and the model has others to go on
    with: then it is left out.
    """
    holders = (told, *(item for item in items if as_text(item.values.get("type")) in _OFFERING))
    given = [
        (as_text(tool.values.get("type")) in _DISPENSABLE, tool) for holder in holders for tool in holder.each("tools")
    ]
    left_out = [tool for is_left_out, tool in given if is_left_out]
    offered: dict[str, Tool] = {}
    for function in (function for is_left_out, tool in given if not is_left_out for function in _functions(tool)):
        offered.setdefault(function.name, function)
    if left_out and not offered:
        raise Untranslatable(left_out[0].at("type"))
    return tuple(offered.values()), tuple(f"tools[].{tool.values['type']}" for tool in left_out)


def read_choice(told: Fields, tools: Sequence[Tool]) -> tuple[ToolChoice | None, Sequence[Tool]]:
    """Return which tool is to be called, None where the caller does not say, and the tools that may be."""
    choice = told.values.get("tool_choice")
    if choice is None:
        return None, tools
    if isinstance(choice, str) and choice in _CHOICES:
        return ToolChoice(_CHOICES[choice]), tools
    if not isinstance(choice, dict):
        raise told.refusal("tool_choice", "must be none, auto, required or a tool.")
    chosen = Fields(choice, "tool_choice")
    if choice.get("type") == allowed_tools.KIND:
        return allowed_tools.read(chosen, map(_read_name, chosen.each("tools")), tools)
    if as_text(choice.get("type")) not in _NAMED:
        raise Untranslatable("tool_choice")
    return ToolChoice("tool", _read_name(chosen)), tools


def _read_name(chosen: Fields) -> str:
    """Return the name of a function that stands for a tool that is chosen; empty for a tool of another type."""
    if as_text(chosen.values.get("type")) not in _NAMED:
        return ""
    return joined_name(chosen.required("name", str), chosen.text("namespace"))


def write_tool(tool: Tool) -> dict[str, Any]:
    """Return a function. Where a tool does not say whether it is strict it is not: left out would mean the opposite."""
    told = {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": tool.strict or False}
    return told | ({"description": tool.description} if tool.description else {})


def write_choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    """Return which tool is to be called."""
    if choice is None:
        return None
    if choice.kind == "tool":
        return {"type": "function", "name": choice.name}
    return _CHOICES_WRITTEN[choice.kind]


def _functions(tool: Fields, namespace: str = "") -> Iterator[Tool]:
    match tool.required("type", str):
        case "function":
            yield Tool(
                joined_name(tool.required("name", str), namespace),
                tool.text("description"),
                tool.optional("parameters", dict),
                tool.optional("strict", bool),
            )
        case "custom":
            yield _read_custom(tool, namespace)
        case "namespace" if not namespace:
            name = tool.required("name", str)
            for inner in tool.each("tools"):
                yield from _functions(inner, name)
        case _:
            raise Untranslatable(tool.at("type"))


def _read_custom(tool: Fields, namespace: str) -> Tool:
    """Return the function that stands for a custom tool; its grammar, which nobody enforces, is told in words."""
    form = tool.inner("format") or Fields({})
    about = "The whole input of the tool as plain text."
    if form.values.get("type") == "grammar":
        about = f"{about} It follows this {form.text('syntax')} grammar:\n{form.required('definition', str)}"
    schema = {
        "type": "object",
        "properties": {_INPUT: {"type": "string", "description": about}},
        "required": [_INPUT],
        "additionalProperties": False,
    }
    return Tool(joined_name(tool.required("name", str), namespace), tool.text("description"), schema)
