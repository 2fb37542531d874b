"""Flows: more than one attempt by intent, each a file here and a row in this table."""

from collections.abc import Mapping
from typing import Final

from gateway.flows.adversarial import Adversarial
from gateway.flows.base import Flow
from gateway.flows.refine import Refine
from gateway.flows.vote import Vote

FLOWS: Final[Mapping[str, Flow]] = {flow.name: flow for flow in (Adversarial(), Refine(), Vote())}
PREFIX: Final = "tokenhub/"
"""Callers ask a flow as the model of this prefix and its name."""


def named(model: str) -> Flow | None:
    """Return the flow that a name of a virtual model means; None for any other name."""
    return FLOWS.get(model.removeprefix(PREFIX)) if model.startswith(PREFIX) else None
