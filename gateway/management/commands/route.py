"""`manage.py route`: which models a request would be sent to, in which order, and why the others are left out."""

from argparse import FileType
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.datastructures import CaseInsensitiveMapping

from gateway import flows, policy, router
from gateway.errors import GatewayError
from gateway.exchange import Decision, Policy, Request
from gateway.wire import bodies, embeddings, messages, openai, responses_relay
from registry.board import board
from registry.keeper import SnapshotUnavailable
from registry.snapshot import keeper

_ENDPOINTS: Final[Mapping[str, Callable[[bytes, Mapping[str, Any], Policy], Request]]] = {
    "chat": openai.read_chat,
    "completions": openai.read_completion,
    "embeddings": embeddings.read_embedding,
    "responses": responses_relay.read_request,
    "messages": lambda raw, body, wishes: messages.read_message(raw, body, wishes, {}),
}
_SAID: Final = {
    "completions": "prompt",
    "embeddings": "input",
    "responses": "input",
}  # where a prompt stands that is no list of messages


class Command(BaseCommand):
    """Decide about a request without sending it."""

    help = "Show the models that a request would be sent to, in their order, and why the others are left out."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a prompt or a body, and what headers would ask."""
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--prompt", help="what a user says")
        source.add_argument("--body", type=FileType("rb"), metavar="FILE", help="a body of the endpoint; - for stdin")
        parser.add_argument("--endpoint", choices=sorted(_ENDPOINTS), default="chat")
        parser.add_argument("--model", help="the model or alias that the caller names")
        parser.add_argument(
            "--header", action="append", default=[], metavar="NAME=VALUE", help="such as X-TokenHub-Max-Cost=0.01"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the decision as tables; ends with 1 where no model can serve."""
        board.exchange()  # what the workers let cool
        try:
            decision = router.route(_request(options), keeper.current(), tells_all=True).decision
        except GatewayError as refusal:
            if refusal.decision is not None:
                self.stdout.write(_page(refusal.decision))
            raise CommandError(str(refusal)) from None
        except SnapshotUnavailable as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(_page(decision))


def _request(options: Mapping[str, Any]) -> Request:
    prompt, place = options["prompt"], _SAID.get(options["endpoint"])
    said = {place: prompt} if place else {"messages": [{"role": "user", "content": prompt}]}
    raw = options["body"].read() if options["body"] else orjson.dumps(said)
    body = bodies.parse(raw, max_depth=settings.TOKENHUB_MAX_JSON_DEPTH)
    if options["model"]:
        body["model"] = options["model"]
        raw = orjson.dumps(body)
    if flows.named(str(body.get("model"))):
        raise CommandError("A flow asks several times, and routes each time anew: ask about a chat.")
    headers = CaseInsensitiveMapping(dict(text.partition("=")[::2] for text in options["header"]))
    return _ENDPOINTS[options["endpoint"]](raw, body, policy.read(body, headers))


def _page(decision: Decision) -> str:
    terms = list(dict.fromkeys(term for ranked in decision.ranked for term in ranked.terms))
    ranked = [
        [
            str(place),
            each.model,
            each.provider,
            each.strategy,
            _number(each.score),
            *(_number(each.terms[term]) if term in each.terms else "" for term in terms),
            str(each.need),
        ]
        for place, each in enumerate(decision.ranked, 1)
    ]
    lines = [f"The prompt is about {decision.estimate} tokens; the registry's version is {decision.snapshot}.", ""]
    if ranked:
        lines += _table(
            ["", "model", "provider", "strategy", "score", *(f"of it {term}" for term in terms), "need"], ranked
        )
        lines += [""]
    if decision.excluded:
        lines += _table(["left out", "why"], [[each.model, each.reason] for each in decision.excluded])
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value + 0.0:.4f}".rstrip("0").rstrip(".")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
