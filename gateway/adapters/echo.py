"""The built-in provider `echo`: answers from the prompt itself, without a network. For trying out and for load tests.

The last message is the answer, word by word, each word counted as a token. It may steer the answer with marks at its
beginning: `[delay=0.2]` waits so many seconds before each word, `[length=50]` makes it so many words long.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from gateway.adapters.base import Adapter, written
from gateway.adapters.transport import Transport
from gateway.conversation import Piece, Text, Untranslatable, Words
from gateway.exchange import Delta, Finish, Request, Usage
from gateway.patience import Patience
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

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return what other adapters would; and words are no JSON, so that a form of the answer would be missed."""
        obstacle = super().obstacle(request, model)
        return obstacle or (str(Untranslatable("response_format")) if request.conversation.get().form else "")

    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Delta | Finish | Usage]:
        """Yield the words of the last message in the caller's format."""
        yield from written(_pieces(request, patience), request, model)


def _pieces(request: Request, patience: Patience) -> Iterator[Piece | Finish]:
    script = _script(_last_text(request))
    words = script.words[: request.max_tokens]
    if not request.stream:
        patience.pause(script.delay * len(words))
        yield Words(" ".join(words))
    else:
        for index, word in enumerate(words):
            patience.pause(script.delay)
            yield Words(f" {word}" if index else word)
    reason = "stop" if len(words) == len(script.words) else "length"
    yield Finish(reason, Usage(uncached=request.estimate, output=len(words)))


def _last_text(request: Request) -> str:
    blocks = request.conversation.get().turns[-1].blocks
    return " ".join(block.text for block in blocks if isinstance(block, Text))


def _script(text: str) -> _Script:
    asked = {"delay": 0.0, "length": 0.0}
    while mark := _MARK.match(text):
        asked[mark[1]] = float(mark[2])
        text = text[mark.end() :]
    words = text.split() or ["(nothing", "to", "echo)"]
    length = min(int(asked["length"]), _MOST_WORDS) or len(words)
    return _Script(list(islice(cycle(words), length)), asked["delay"])
