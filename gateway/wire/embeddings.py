"""Embeddings in OpenAI's format: requests read, and answers understood in passing. No other format has them.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway import tokens
from gateway.conversation import Conversation, Untranslatable
from gateway.errors import Broken
from gateway.exchange import EMBEDDING, Finish, Once, Policy, Request, Usage
from gateway.wire import bodies, failures
from gateway.wire.fields import Fields, as_objects, load
from gateway.wire.openai import HEAD, read_usage

_VECTOR: Final = re.compile(rb'"embedding"\s*:\s*([\["])')
ENCODINGS: Final = ("float", "base64")
"""The forms in which a vector can be asked for."""


def read_embedding(raw: bytes, body: Mapping[str, Any], policy: Policy) -> Request:
    """Return the request in a body for `/v1/embeddings`; raises `InvalidRequest` naming the field at fault.

    The model has to be named: the vectors of different models cannot be compared, so none may stand in for another.
    """
    told = Fields(body)
    if not inputs(body):
        raise told.refusal("input", "must be a text that is not empty, numbers of tokens, or a list of either.")
    told.positive("dimensions")
    if told.text("encoding_format") not in {"", *ENCODINGS}:
        raise told.refusal("encoding_format", f"is {' or '.join(ENCODINGS)}.")
    model = told.model()
    if model in {"", "auto"} and not policy.models:
        raise told.refusal("model", "must name a model: vectors of different models cannot be compared.")
    head, rest = bodies.split(raw, body, HEAD)
    return Request(
        format=EMBEDDING,
        needs=frozenset(),
        fields=body,
        head=head,
        rest=rest,
        estimate=max(map(_tokens, inputs(body))),
        model=model,
        stream=False,
        include_usage=False,
        max_tokens=None,
        conversation=Once(_no_conversation, Untranslatable),
        policy=policy,
    )


def inputs(body: Mapping[str, Any]) -> Sequence[str | Sequence[int]]:
    """Return the inputs, each a text or the numbers of its tokens; none where there is anything else among them."""
    given = body.get("input")
    each: list[Any] = given if isinstance(given, list) and not _is_tokens(given) else [given]
    return each if all(_is_tokens(one) or (isinstance(one, str) and one) for one in each) else ()


def read_answer(raw: bytes, request: Request) -> Finish:
    """Return what an answer used; raises the failure of an error told in it, or `Broken` when it has no vectors.

    The vectors themselves are not parsed: they are millions of digits, and pass as they came.
    """
    try:
        answer = load(_without_vectors(raw))
    except Broken:
        answer = load(raw)
    if error := answer.get("error"):
        raise failures.in_band(error)
    if not as_objects(answer.get("data")):
        raise Broken("The provider answered 200 without an embedding.")
    guess = Usage(uncached=sum(map(_tokens, inputs(request.fields))), estimated=True)
    return Finish("stop", read_usage(answer.get("usage")) or guess)


def write_answer(vectors: Sequence[Sequence[float] | str], model: str, used: int) -> dict[str, Any]:
    """Return vectors, each as numbers or in base64, in OpenAI's shape; `used` counts the tokens of all inputs."""
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _without_vectors(raw: bytes) -> bytes:
    """Return an answer with every vector empty; something else than JSON where they are no plain lists or texts."""
    kept = []
    start = 0
    while start >= 0 and (field := _VECTOR.search(raw, start)):
        kept.append(raw[start : field.end()])
        start = raw.find(b"]" if field[1] == b"[" else b'"', field.end())
    return b"".join([*kept, raw[start:]]) if start >= 0 else raw


def _tokens(given: str | Sequence[int]) -> int:
    return tokens.of_text(given) if isinstance(given, str) else len(given)


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(number) is int for number in given)


def _no_conversation() -> Conversation:
    raise Untranslatable("input")
