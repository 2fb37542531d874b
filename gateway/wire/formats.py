"""The wire formats that a caller may have, each with the writers of its answers."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.conversation import Piece, Words
from gateway.exchange import CHAT, COMPLETION, PLAIN, Finish, Request
from gateway.wire import chat_stream, completion_stream
from gateway.wire.pieces import Writer


@dataclass(frozen=True, slots=True)
class Format:
    """How an answer is written: `stream(head, include_usage=…)` and `whole(head)`; `head` has an id with `prefix`."""

    prefix: str
    stream: Callable[..., Writer]
    whole: Callable[[Mapping[str, Any]], Writer]


class PlainWriter:
    """Writes the words alone, for the gateway's own use."""

    def __init__(self, head: Mapping[str, Any], *, include_usage: bool = False) -> None:
        pass

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the words in UTF-8."""
        return piece.text.encode(errors="replace") if isinstance(piece, Words) else b""


FORMATS: Final[Mapping[str, Format]] = {
    CHAT: Format("chatcmpl-", chat_stream.StreamWriter, chat_stream.WholeWriter),
    COMPLETION: Format("cmpl-", completion_stream.StreamWriter, completion_stream.WholeWriter),
    PLAIN: Format("", PlainWriter, PlainWriter),
}


def new_writer(request: Request, model: str) -> Writer:
    """Return a writer of an answer to a request, under an id of its own and this name of the model."""
    form = FORMATS[request.format]
    head = {"id": f"{form.prefix}{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
    return form.stream(head, include_usage=request.include_usage) if request.stream else form.whole(head)
