"""A choice among tools that names those which are allowed: the others are not offered where no format can say so.

Source: the public API reference of OpenAI, `tool_choice` of the type `allowed_tools`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from gateway.conversation import Tool, ToolChoice, Untranslatable
from gateway.wire.fields import Fields

KIND: Final = "allowed_tools"
_MODES: Final[dict[str, Literal["auto", "any"]]] = {"auto": "auto", "required": "any"}


def read(told: Fields, names: Iterable[str], tools: Sequence[Tool]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """Return the choice that `mode` stands for, and those of the tools whose names are allowed.

    Raises `Untranslatable` where none of them is left.
    """
    mode = told.required("mode", str)
    if mode not in _MODES:
        raise told.refusal("mode", "must be auto or required.")
    allowed = frozenset(names)
    kept = tuple(tool for tool in tools if tool.name in allowed)
    if not kept:
        raise Untranslatable(told.at("tools"))
    return ToolChoice(_MODES[mode]), kept
