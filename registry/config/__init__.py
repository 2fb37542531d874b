"""Configuration files: read one, see what it would change, apply it, write one.

`read` needs no Django, so that a server can look into its file before it is set up. What works with rows is imported
when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from registry.config.difference import Difference
from registry.config.faults import ConfigInvalid, Fault
from registry.config.schema import Config, default_config, read

if TYPE_CHECKING:
    from registry.config.apply import load
    from registry.config.rows import read_and_check
    from registry.config.writing import export

__all__ = [
    "Config",
    "ConfigInvalid",
    "Difference",
    "Fault",
    "default_config",
    "export",
    "load",
    "read",
    "read_and_check",
]

_NEEDS_DJANGO = {
    "export": "registry.config.writing",
    "load": "registry.config.apply",
    "read_and_check": "registry.config.rows",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_DJANGO:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_DJANGO[name]), name)
