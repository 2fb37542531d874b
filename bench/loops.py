"""The event loop of load and provider: uvloop where it is installed (the extra `bench`), else asyncio's own."""

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
NAME: Final = "uvloop" if find_spec("uvloop") else "asyncio"
_NEW_LOOP: Final[Callable[[], asyncio.AbstractEventLoop]] = import_module(NAME).new_event_loop


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end and return what it returns."""
    with asyncio.Runner(loop_factory=_NEW_LOOP) as runner:
        return runner.run(main)
