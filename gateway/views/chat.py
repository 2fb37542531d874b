"""`POST /v1/chat/completions` and `POST /v1/completions`."""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

from accounts.models import Scope
from gateway import escalation, flows, router
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import transport
from gateway.errors import GatewayError, InvalidRequest
from gateway.exchange import Delta, Policy, Request
from gateway.flows import choices
from gateway.flows.run import deltas
from gateway.patience import Patience
from gateway.views.base import GenerationView
from gateway.wire import completions, openai

Walk = Callable[..., Generator[Delta]]


class ModelView(GenerationView[Request]):
    """An endpoint that asks one model, which may be a virtual one."""

    def prepare(self, asked: Request) -> None:
        """Let every language prepare for what it may be asked."""
        for adapter in ADAPTERS.values():
            adapter.prepare(asked)

    def produce(self, asked: Request, patience: Patience) -> Generator[bytes]:
        """Yield the bytes of an answer, the first of them once a model has come to words."""
        with closing(self._answer(asked, patience)) as pieces:
            for piece in pieces:
                yield piece.raw

    def _answer(self, asked: Request, patience: Patience) -> Generator[Delta]:
        snapshot = self.snapshot
        if flow := flows.named(asked.model):
            return deltas(flow, asked, snapshot, patience, transport=transport, call=self.call)
        walk = self.walk(asked)
        # what a key may spend, and who is asked for several choices, is reckoned with all that can serve
        reckons_with_all = self.call.means is not None or walk is not escalation.answer
        try:
            route = router.route(asked, snapshot, tells_all=reckons_with_all)
        except GatewayError as error:
            if error.decision is not None:
                self.call.decisions.append(error.decision)
            raise
        self.call.decisions.append(route.decision)
        return walk(asked, route, patience, transport=transport, call=self.call)

    def walk(self, asked: Request) -> Walk:
        """Return what asks the models of a route."""
        return escalation.answer

    def size(self, asked: Request) -> int:
        """Return the estimate of the prompt, and the most that the answer may have."""
        return asked.estimate + (asked.max_tokens or 0)

    def thinks(self, asked: Request) -> bool:
        """Whether the answer is made of several, so that a stream is silent for long."""
        return flows.named(asked.model) is not None


class ChatCompletions(ModelView):
    """Chat in OpenAI's format, streamed or whole."""

    scope = Scope.CHAT

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return the chat that a body asks for."""
        return openai.read_chat(raw, body, wishes)


class Completions(ModelView):
    """Text that goes on from a prompt, in OpenAI's format, streamed or whole."""

    scope = Scope.COMPLETIONS

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return the completion that a body asks for."""
        asked = openai.read_completion(raw, body, wishes)
        if flows.named(asked.model) and (field := completions.parted_by(body)):
            raise InvalidRequest(f"A flow gives one answer to one prompt, without `{field}`.", param=field)
        return asked

    def walk(self, asked: Request) -> Walk:
        """Return what asks the models of a route, each for all of several choices or for one of them."""
        return choices.deltas if completions.parted_by(asked.fields) else super().walk(asked)

    def thinks(self, asked: Request) -> bool:
        """Whether the answer is made of several, be they the phases of a flow or choices."""
        return super().thinks(asked) or bool(completions.parted_by(asked.fields))
