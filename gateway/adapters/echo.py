"""The built-in provider `echo`: answers from the prompt itself, without a network. For trying out and for load tests.

The last message is the answer, word by word, each word counted as a token. It may steer the answer with marks at its
beginning: `[delay=0.2]` waits so many seconds before each word, `[length=50]` makes it so many words long.
"""

import re
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from gateway.adapters.base import Adapter
from gateway.adapters.transport import Transport
from gateway.conversation import Words
from gateway.exchange import Delta, Finish, Request, Usage
from gateway.patience import Patience
from gateway.wire import chat_stream
from gateway.wire.pieces import Writer
from registry.snapshot import ModelFacts

_MARK: Final = re.compile(r"\s*\[(delay|length)=(\d{1,6}(?:\.\d{1,3})?)\]\s*")
_MOST_WORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Script:
    """What is to be said, and how slowly."""

    words: list[str]
    delay: float


class EchoAdapter(Adapter):
    """Answers with the caller's own words."""

    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Delta | Finish]:
        """Yield the last message, whole or word by word, in OpenAI's format."""
        script = _script(_last_text(request))
        words = script.words[: request.max_tokens]
        reason = "stop" if len(words) == len(script.words) else "length"
        usage = Usage(uncached=request.estimate, output=len(words))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model.id}
        end = Finish(reason, usage)
        if not request.stream:
            patience.pause(script.delay * len(words))
            writer: Writer = chat_stream.WholeWriter(head)
            yield Delta(writer.write(Words(" ".join(words))) + writer.write(end))
        else:
            writer = chat_stream.StreamWriter(head, include_usage=request.include_usage)
            for index, word in enumerate(words):
                patience.pause(script.delay)
                yield Delta(writer.write(Words(f" {word}" if index else word)))
            yield Delta(writer.write(end), content=False)
        yield end


def _last_text(request: Request) -> str:
    content = request.fields["messages"][-1].get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _script(text: str) -> _Script:
    asked = {"delay": 0.0, "length": 0.0}
    while mark := _MARK.match(text):
        asked[mark[1]] = float(mark[2])
        text = text[mark.end() :]
    words = text.split() or ["(nothing", "to", "echo)"]
    length = min(int(asked["length"]), _MOST_WORDS) or len(words)
    return _Script(list(islice(cycle(words), length)), asked["delay"])
