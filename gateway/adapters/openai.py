"""The adapter for OpenAI and whatever speaks like it: bodies and events are relayed byte for byte."""

from collections.abc import Generator, Iterator
from urllib.parse import urlsplit

from gateway.adapters.base import HttpAdapter
from gateway.adapters.transport import Outgoing, Reply
from gateway.errors import Broken, ProviderFailure
from gateway.exchange import Delta, Finish, Request, Usage
from gateway.wire import failures, openai, sse
from registry.snapshot import ModelFacts, ProviderFacts

_MAX_ERROR_BYTES = 1024 * 1024


class OpenAIAdapter(HttpAdapter):
    """Speaks chat completions. A row's base URL may end before `/v1` or go beyond it."""

    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the caller's body under the provider's name of the model, with the provider's key."""
        key = model.provider.key
        headers = {"Authorization": f"Bearer {key.reveal()}"} if key else {}
        url = f"{endpoint_base(model.provider)}/chat/completions"
        return Outgoing(url, headers, openai.write_chat(request, model.name))

    def failure(self, reply: Reply, model: ModelFacts) -> ProviderFailure:
        """Return what the status and the words of a refusal mean."""
        key = model.provider.key
        return failures.classify(
            reply.status,
            reply.headers,
            reply.whole(_MAX_ERROR_BYTES),
            provider=model.provider.name,
            secret=key.reveal() if key else "",
        )

    def read_stream(self, reply: Reply, request: Request) -> Generator[Delta | Finish]:
        """Yield each event as it came; the usage that the caller did not ask for is read and left out."""
        usage: Usage | None = None
        reason = ""
        seen_content = False
        for event in _events(reply):
            told = openai.read_event(event, seen_content=seen_content)
            usage = told.usage or usage
            reason = told.reason or reason
            seen_content = seen_content or told.content
            if told.usage or (told.done and (reason or seen_content)):
                yield Finish(reason, usage)  # at once: what is known is booked even if the caller leaves at this event
            if not told.usage_only or request.include_usage:
                yield Delta(event, content=told.content)
            if told.done and (reason or seen_content):
                reply.settle()
                return
        if not reason:
            raise Broken("The provider's stream ended before its answer did.")
        yield Finish(reason, usage)

    def read_whole(self, reply: Reply) -> Generator[Delta | Finish]:
        """Yield the answer as it came."""
        raw = reply.whole()
        told = openai.read_answer(raw)
        yield Delta(raw)
        yield Finish(told.reason, told.usage)


def endpoint_base(provider: ProviderFacts) -> str:
    """Return the URL under which the endpoints are: a base without a path gets the `/v1` that all such servers have."""
    return provider.base_url if urlsplit(provider.base_url).path.strip("/") else f"{provider.base_url.rstrip('/')}/v1"


def _events(reply: Reply) -> Iterator[bytes]:
    splitter = sse.EventSplitter()
    for piece in reply.pieces():
        yield from splitter.feed(piece)
    if rest := splitter.rest():
        yield rest
