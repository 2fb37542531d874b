"""What readers and writers of answers have in common, whatever their wire format."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from gateway.conversation import Piece
from gateway.errors import Broken
from gateway.exchange import Finish, Usage
from gateway.wire import sse


class Writer(Protocol):
    """Writes an answer piece by piece, up to its `Finish`."""

    def write(self, piece: Piece | Finish) -> bytes:
        """Return what is to be sent now, which may be nothing yet; raises `Broken` for what the format cannot say."""
        ...


class StreamReader(ABC):
    """Reads the events of a stream, each whole as `sse.EventSplitter` cuts them.

    A stream has `ended` when its last event has been read; the rest of the connection says nothing any more.
    """

    def __init__(self) -> None:
        self.ended = False
        self._seen = False
        self._reason = ""
        self._usage: Usage | None = None

    @property
    def told(self) -> Finish:
        """How the answer ended and what it used, as far as the stream has told; for a stream that breaks off."""
        return Finish(self._reason, self._usage)

    def read(self, event: bytes) -> list[Piece | Finish]:
        """Return what an event says; raises the failure that it tells of, or `Broken` for data that makes no sense."""
        data = sse.data_of(event)
        if not data or self.ended:
            return []
        pieces = list(self._read(data))
        self._seen = self._seen or bool(pieces)
        return pieces

    def close(self) -> list[Piece | Finish]:
        """Return what is left to say when the connection ends; raises `Broken` when the answer is not over yet.

        An answer that told why it ended is whole, also without the event that should come last.
        """
        if self.ended:
            return []
        if not self._reason:
            raise Broken("The provider's stream ended before its answer did.")
        return list(self._end())

    @abstractmethod
    def _read(self, data: bytes) -> Iterator[Piece | Finish]: ...

    def _end(self) -> Iterator[Piece | Finish]:
        self.ended = True
        yield self.told


def json_text(value: Any) -> str:
    """Return the JSON text of what a provider sent; raises `Broken` when it is nested past all measure."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise Broken("The provider sent JSON that is nested too deep.") from None
