"""The tools of an Anthropic message, and which of them is to be called, read and written.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.conversation import Conversation, Tool, ToolChoice, Untranslatable
from gateway.wire import names
from gateway.wire.anthropic_blocks import hint
from gateway.wire.fields import Fields, as_objects, as_text
from gateway.wire.names import short

_NO_ARGUMENTS: Final = {"type": "object", "properties": {}}
_SEARCH: Final = "tool_search_tool_"
# Run by Anthropic while it answers. An agent that brings other tools can go on without them.
_DISPENSABLE: Final = ("web_search_2", "web_fetch_2", "code_execution_2")
# `defer_loading` goes with the search, which is named itself.
_READ: Final = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control", "defer_loading"})


def read_tools(tools: Sequence[Fields]) -> tuple[Tool, ...]:
    """Return the tools that a body offers.

    Some types are Anthropic's own. Those that the caller's machine runs (`bash`, `text_editor`, `memory`) are functions
    like any other to a model that does not know them, once their arguments are told. A search among the tools is left
    out: all of them are offered. What Anthropic itself runs, such as a search in the web, has nobody to run it
    elsewhere: it is left out where the model has other tools to go on with. Raises `Untranslatable` where it has none,
    and for the rest: a `computer` is used by the coordinates that models are trained to see.
    """
    read = tuple(_read_tool(tool) for tool in tools if not _is_left_out(tool))
    lost = next((tool for tool in tools if tool.text("type").startswith(_DISPENSABLE)), None)
    if lost and not read:
        raise Untranslatable(lost.at("type"))
    return read


def passed_over(tools: Iterable[Fields]) -> Sequence[str]:
    """Return the types of tools that `read_tools` leaves out, and the paths of what it does not read of the others."""
    left_out, beside = [], []
    for tool in tools:
        if _is_left_out(tool):
            left_out.append(tool.text("type"))
        else:
            beside += [f"tools[].{name}" for name, value in tool.values.items() if value and name not in _READ]
    return (*left_out, *dict.fromkeys(beside))


def originals(fields: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the names of the tools of a body that are shortened when they are read, by their short ones."""
    return names.originals(as_text(tool.get("name")) for tool in as_objects(fields.get("tools")))


def read_choice(choice: Fields, tools: Iterable[Fields]) -> ToolChoice:
    """Return which tool is to be called; raises `Untranslatable` for one that `read_tools` leaves out."""
    match choice.required("type", str):
        case "auto" | "any" | "none" as kind:
            return ToolChoice(kind)
        case "tool":
            name = choice.required("name", str)
            if any(tool.values.get("name") == name for tool in tools if _is_left_out(tool)):
                raise Untranslatable(choice.at("name"))
            return ToolChoice("tool", short(name))
        case _:
            raise choice.refusal("type", "must be auto, any, none or tool.")


def write_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool; one without a schema takes no arguments."""
    given = tool.schema or {}
    schema = given if "type" in given else {**_NO_ARGUMENTS, **given}
    told = {"name": tool.name, "description": tool.description or None, "input_schema": schema, "strict": tool.strict}
    return {name: value for name, value in told.items() if value is not None} | hint(tool.cache)


def write_choice(conversation: Conversation) -> dict[str, Any] | None:
    """Return which tool is to be called, and whether alone; None where that is left to the model."""
    choice = conversation.tool_choice or ToolChoice("auto")
    alone = {"disable_parallel_tool_use": True} if conversation.parallel_tools is False else {}
    if choice.kind == "none":
        return {"type": "none"}
    if choice.kind == "tool":
        return {"type": "tool", "name": choice.name, **alone}
    return {"type": choice.kind, **alone} if conversation.tool_choice or alone else None


def _is_left_out(tool: Fields) -> bool:
    return tool.text("type").startswith((_SEARCH, *_DISPENSABLE))


def _read_tool(tool: Fields) -> Tool:
    kind = tool.text("type")
    strict, cache = tool.optional("strict", bool), tool.optional("cache_control", dict)
    if kind in {"", "custom"}:
        schema = tool.optional("input_schema", dict)
        return Tool(short(tool.required("name", str)), tool.text("description"), schema, strict, cache)
    family = next((name for name in _FAMILIES if kind.startswith(f"{name}_2")), None)
    if family is None:
        raise Untranslatable(tool.at("type"))
    description, known = _FAMILIES[family]
    return Tool(short(tool.required("name", str)), description, known, strict, cache)


def _schema(required: Sequence[str], **properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _text(told: str) -> Mapping[str, Any]:
    return {"type": "string", "description": told}


def _command(*names: str) -> Mapping[str, Any]:
    return {"type": "string", "enum": list(names)}


_LINES: Final = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "The first and the last line to view; -1 is the last of the file.",
}
_EDITS: Final = {
    "file_text": _text("What `create` writes."),
    "old_str": _text("The text that `str_replace` replaces; it stands in the file once."),
    "new_str": _text("What `str_replace` puts in its place."),
    "insert_line": {"type": "integer", "description": "The line after which `insert` writes; 0 is the beginning."},
    "insert_text": _text("What `insert` writes."),
    "view_range": _LINES,
}
# What models of Anthropic know of these tools without being told.
_FAMILIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "bash": (
        "Runs a command in a shell that stays the same from call to call.",
        _schema(
            (),
            command=_text("The command to run; needed unless the shell is restarted."),
            restart={"type": "boolean", "description": "Starts the shell anew."},
        ),
    ),
    "text_editor": (
        "Views, creates and edits text files.",
        _schema(
            ("command", "path"),
            command=_command("view", "create", "str_replace", "insert"),
            path=_text("The file or folder."),
            **_EDITS,
        ),
    ),
    "memory": (
        "Keeps notes in files under /memories, which outlast the conversation: look there first.",
        _schema(
            ("command",),
            command=_command("view", "create", "str_replace", "insert", "delete", "rename"),
            path=_text("The file or folder; `rename` has two others instead."),
            old_path=_text("What `rename` renames."),
            new_path=_text("What it is called then."),
            **_EDITS,
        ),
    ),
}
