"""How long the events of a stream stay away while something else is done at the same gateway."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Final

from tests.scripted_openai import chat_stream
from tests.scripted_script import Script
from tests.server import Gateway, wait_for

STEADY: Final = Script(chat_stream([" word"] * 3000, include_usage=False), delay_between_pieces=0.02)
"""What a provider is to say to the stream that is watched: an event every 20 ms, for a minute."""
_TRIALS: Final = 3
_MORE_SECONDS: Final = 0.2


def widest(gateway: Gateway, work: Callable[[], object]) -> float:
    """Return the longest time in seconds between two events of a stream that is open while some work is done."""
    came: list[float] = []
    over = threading.Event()

    def read() -> None:
        for _ in answer.iter_content(None):
            came.append(time.monotonic())
            if over.is_set():
                return

    with closing(gateway.post(stream=True)) as answer:
        reader = threading.Thread(target=read)
        reader.start()
        assert wait_for(lambda: len(came) > 10)
        began = len(came) - 1
        try:
            work()
        finally:
            over.set()
            reader.join()
    return max(after - before for before, after in pairwise(came[began:]))


def stays_steady(gateway: Gateway, work: Callable[[], object]) -> bool:
    """Whether no event comes more than 200 ms later while some work is done than while nothing is.

    On a busy machine either may be late by chance, so the work has some trials.
    """
    alone = widest(gateway, lambda: time.sleep(1.0))
    return any(widest(gateway, work) < alone + _MORE_SECONDS for _ in range(_TRIALS))
