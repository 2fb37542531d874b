"""Answers that pass through as they came: what the gateway must know of them, read with little parsing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from gateway.errors import Broken
from gateway.exchange import Finish, Usage


@dataclass(frozen=True, slots=True)
class Seen:
    """What one event says: whether it has `content`, what it `tells` of the end and the usage, and if it is the last.

    A `Usage` is what was used so far, a `Finish` all that is known. A `hidden` event is not for the caller's eyes.
    """

    content: bool = False
    tells: Finish | Usage | None = None
    hidden: bool = False
    done: bool = False


NOTHING = Seen()
CONTENT = Seen(content=True)


class Passing(ABC):
    """Looks at the events of one stream as they pass."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.reason = ""

    @abstractmethod
    def read(self, event: bytes) -> Seen:
        """Return what an event says; raises the failure that it tells of, or `Broken` for data that makes no sense."""

    def close(self) -> Finish:
        """Return the end of a stream that just stopped; raises `Broken` when its answer was not over.

        An answer that told why it ended is whole, also without the event that should come last.
        """
        if not self.reason:
            raise Broken("The provider's stream ended before its answer did.")
        return Finish(self.reason, self.usage)
