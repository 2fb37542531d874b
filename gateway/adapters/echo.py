"""The built-in provider `echo`: answers from the prompt itself, without a network. For trying out and for load tests.

The last message is the answer, word by word, each word counted as a token. It may steer the answer with marks at its
beginning: `[delay=0.2]` waits so many seconds before each word, `[length=50]` makes it so many words long. Asked by the
system to choose in the form `{"choice": 1}`, as the judge of a vote is, it takes the first. Embeddings are near each
other for texts that share words.
"""

import base64
import hashlib
import math
import re
from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

import orjson

from gateway.adapters.base import Adapter, written
from gateway.adapters.transport import Transport
from gateway.conversation import Conversation, Piece, Text, Untranslatable, Words
from gateway.exchange import EMBEDDING, Delta, Finish, Request, Usage
from gateway.patience import Patience
from gateway.wire import embeddings
from registry.snapshot import ModelFacts

_MARK: Final = re.compile(r"\s*\[(delay|length)=(\d{1,6}(?:\.\d{1,3})?)\]\s*")
_CHOICE: Final = '{"choice": 1}'
_MOST_WORDS: Final = 100_000
_DIMENSIONS: Final = 256
_MOST_DIMENSIONS: Final = 4096
_MOST_NUMBERS: Final = 2048 * _DIMENSIONS  # of all vectors together; OpenAI takes 2,048 inputs


@dataclass(frozen=True, slots=True)
class _Script:
    """What is to be said, and how slowly."""

    words: list[str]
    delay: float


class EchoAdapter(Adapter):
    """Answers with the caller's own words."""

    def relays(self, request: Request, model: ModelFacts) -> bool:
        """Speak the language of embeddings, which there is but one of."""
        return request.format == EMBEDDING

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return what other adapters would, or what is asked for and cannot be made: JSON, or vectors of any length."""
        if self.relays(request, model):
            return _too_many_numbers(request)
        obstacle = super().obstacle(request, model)
        return obstacle or (str(Untranslatable("response_format")) if request.conversation.get().form else "")

    def judges(self, request: Request, model: ModelFacts) -> bool:
        """Vectors may be too many as well."""
        return True

    def losses(self, conversation: Conversation, model: ModelFacts) -> Sequence[str]:
        """Return what an echo does not heed of how it is to end or to call."""
        lost = {"stop": bool(conversation.stop), "tool_choice": conversation.forces_nothing}
        return tuple(name for name, is_lost in lost.items() if is_lost)

    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Delta | Finish | Usage]:
        """Yield the words of the last message in the caller's format, or vectors of the inputs."""
        if self.relays(request, model):
            yield from _embedded(request, model, patience)
            return
        yield from written(_pieces(request, patience), request, model)


def _pieces(request: Request, patience: Patience) -> Iterator[Piece | Finish]:
    is_to_choose = any(_CHOICE in said.text for said in request.conversation.get().system)
    script = _script(_CHOICE if is_to_choose else _last_text(request))
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


def _too_many_numbers(request: Request) -> str:
    """Return what makes the vectors that are asked for larger than the hub can make beside its streams."""
    dimensions = request.fields.get("dimensions") or _DIMENSIONS
    if dimensions > _MOST_DIMENSIONS:
        return f"`dimensions` is more than {_MOST_DIMENSIONS}"
    is_too_much = dimensions * len(embeddings.inputs(request.fields)) > _MOST_NUMBERS
    return f"`dimensions` times the inputs is more than {_MOST_NUMBERS}" if is_too_much else ""


def _embedded(request: Request, model: ModelFacts, patience: Patience) -> Iterator[Delta | Finish]:
    given = [one if isinstance(one, str) else " ".join(map(str, one)) for one in embeddings.inputs(request.fields)]
    vectors = []
    for text in given:
        vectors.append(_vector(text, request.fields.get("dimensions") or _DIMENSIONS))
        patience.give_way()
    used = sum(len(text.split()) for text in given)
    is_packed = request.fields.get("encoding_format") == "base64"
    told = [base64.b64encode(vector.tobytes()).decode() if is_packed else vector.tolist() for vector in vectors]
    yield Finish("stop", Usage(uncached=used))
    yield Delta(orjson.dumps(embeddings.write_answer(told, model.id, used)))


def _vector(text: str, dimensions: int) -> "array[float]":
    """Return a vector of length 1, in which every word of the text has its own place and sign."""
    vector = array("f", bytes(4 * dimensions))
    for word in text.lower().split():
        number = int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest())
        vector[number // 2 % dimensions] += 1.0 if number % 2 else -1.0
    length = math.hypot(*vector) or 1.0
    return array("f", (value / length for value in vector))


def _last_text(request: Request) -> str:
    """Return what was said last; empty where nobody but the system has said anything."""
    turns = request.conversation.get().turns
    return " ".join(block.text for block in turns[-1].blocks if isinstance(block, Text)) if turns else ""


def _script(text: str) -> _Script:
    asked = {"delay": 0.0, "length": 0.0}
    while mark := _MARK.match(text):
        asked[mark[1]] = float(mark[2])
        text = text[mark.end() :]
    words = text.split() or ["(nothing", "to", "echo)"]
    length = min(int(asked["length"]), _MOST_WORDS) or len(words)
    return _Script(list(islice(cycle(words), length)), asked["delay"])
