"""What is wrong with a configuration file: every fault with its place, and never a secret among the words."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: `path` is its place in the document (`models[2].cost_per_1k`), empty for all of it."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


class ConfigInvalid(ValueError):
    """The file cannot be loaded; `faults` holds everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def quoted(name: str) -> str:
    """The name as JSON writes it, so that nothing in it can move a terminal's cursor."""
    return json.dumps(name)


def within(path: str, name: str) -> str:
    """The path of what `name` holds within the object at `path`."""
    if not (name.isascii() and name.isidentifier()):
        return f"{path}[{quoted(name)}]"
    return f"{path}.{name}" if path else name


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?` for the known name that is closest, or else a list of those that are known."""
    names = list(known)
    close = get_close_matches(name.lower(), names, n=1)
    if close:
        return f"; did you mean {quoted(close[0])}?"
    return f"; known: {', '.join(map(quoted, names))}" if names else ""
