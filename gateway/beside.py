"""Work on a large body, which is done in a thread beside the hub: no stream of the worker would move meanwhile."""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

from registry import threads

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_LARGE_BYTES: Final = 256 * 1024  # takes some milliseconds to parse
_MANY_OBJECTS: Final = 500  # each takes some 15 microseconds to be read and translated, whatever its size
_pool: Final = threads.Pool(2)


def is_large(body: bytes) -> bool:
    """Whether work on a body takes so long, more than about 10 ms, that it belongs beside the hub."""
    return len(body) > _LARGE_BYTES or body.count(b"{") > _MANY_OBJECTS


def run(body: bytes, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
    """Return what a function of a body returns, or raise what it raises; beside the hub if the body is large."""
    return _pool.run(function, *args) if is_large(body) else function(*args)
