"""Configuration files: read one, see what it would change, apply it, write one.

Reading needs no Django, so that a server can look into its file before it is set up. `load` and `export` work with
rows: they are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from registry.config.difference import Difference
from registry.config.faults import ConfigInvalid, Fault
from registry.config.schema import Config, default_config, read

if TYPE_CHECKING:
    from registry.config.apply import load
    from registry.config.writing import export

__all__ = ["Config", "ConfigInvalid", "Difference", "Fault", "default_config", "export", "load", "read"]

_NEEDS_DJANGO = {"load": "registry.config.apply", "export": "registry.config.writing"}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_DJANGO:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_DJANGO[name]), name)
