"""JSON read strictly: what the standard library waves through (repeated names, NaN, lone surrogates) is a fault."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from registry.config.faults import ConfigInvalid, Fault, within


class _Object(dict[str, Any]):
    """An object that remembers which of its names were given more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counted = Counter(name for name, _ in pairs)
        self.repeated = sorted(name for name, times in counted.items() if times > 1)


class _Constant:
    """Stands where the text said NaN or Infinity, which are not JSON."""

    def __init__(self, name: str) -> None:
        self.name = name


def parse(text: str) -> tuple[Any, list[Fault]]:
    """Return the document, fractions as Decimal, and its faults; raise ConfigInvalid where it is no JSON at all."""
    try:
        document = json.loads(text, object_pairs_hook=_Object, parse_float=Decimal, parse_constant=_Constant)
        return document, list(_faults(document, ""))
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    except RecursionError:
        problem = "nested too deeply"
    except (ValueError, ArithmeticError):  # the limits of int and Decimal, in words that are meant for programmers
        problem = "a number has too many digits"
    raise ConfigInvalid([Fault("", problem)])


def _faults(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, _Constant):
        yield Fault(path, f"{value.name} is not a JSON number")
    elif isinstance(value, str) and not _is_encodable(value):
        yield Fault(path, "holds half of a surrogate pair")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _faults(item, f"{path}[{position}]")
    elif isinstance(value, _Object):
        for name in value.repeated:
            yield Fault(within(path, name), "given more than once")
        for name, item in value.items():
            yield from _faults(item, within(path, name))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
