"""The limits of models: each attempt is counted when it is about to be sent, and told of when it ends."""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

from accounts.facts import Limits
from accounts.limits import Subject
from gateway.errors import AtItsLimit, Unavailable, Uncounted
from gateway.exchange import Request
from gateway.throttling import limit_of, throttle
from registry.snapshot import ModelFacts

Release = Callable[[int], None]
"""Frees the place of an attempt, which took so many tokens; further calls do no harm."""

_numbers: Final = count()  # two attempts of one call may be under way, and each holds a place of its own


def nothing(_: int, /) -> None:
    """Free the place of an attempt at a model without limits: it holds none."""


def take(request: Request, model: ModelFacts, call_id: str) -> Release:
    """Count an attempt; returns what frees its place. For a model without limits nobody is asked.

    Raises `AtItsLimit` and, where an outage closes the door, `Uncounted`.
    """
    if model.rpm is None and model.tpm is None and model.concurrent is None:
        return nothing
    limits = Limits(rpm=model.rpm, tpm=model.tpm, concurrent=model.concurrent)
    subject = Subject(f"model:{model.pk}", f"model {model.id!r}", limits)
    tokens = request.estimate + (request.max_tokens or 0)
    try:
        admission = throttle.count([subject], f"{call_id}:{next(_numbers)}", tokens)
    except Unavailable as closed:
        raise Uncounted("The limits of the model cannot be checked now.", retry_after=closed.retry_after) from closed
    if admission is None:
        return nothing
    if admission.verdict.refused_by is not None:
        told = f"at its limit of {limit_of(admission.verdict)}"
        raise AtItsLimit(told, retry_after=admission.verdict.retry_after)
    return partial(throttle.end, admission)
