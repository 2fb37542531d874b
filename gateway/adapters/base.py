"""What an adapter is, and the way every provider that is reached over HTTP is called."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from gateway import beside
from gateway.adapters.transport import Outgoing, Reply, Transport
from gateway.conversation import Conversation, Piece, Untranslatable
from gateway.errors import Broken, InvalidRequest, ProviderFailure, ReasoningRefused, Rejected, TimedOut
from gateway.exchange import MESSAGES, RESPONSES, Delta, Finish, Heard, Request, Usage
from gateway.patience import Patience
from gateway.wire import failures, sse
from gateway.wire.fields import load
from gateway.wire.formats import RELAYS, new_writer
from gateway.wire.openai import DONE
from gateway.wire.passing import Passing, Seen
from gateway.wire.pieces import StreamReader
from registry.snapshot import ModelFacts, ProviderFacts

_MAX_ERROR_BYTES: Final = 1024 * 1024
# An error of a chat has no one shape: what other servers send there is told anew in OpenAI's.
_ENDED_BY_ERRORS: Final = frozenset({MESSAGES, RESPONSES})
# By the name of a field for it, or as what is not supported: the text of a caller may have these words as well.
_OF_REASONING: Final = re.compile(
    r"\b(?:reasoning|thinking)[_.]\w|\b(?:reasoning effort|effort (?:parameter|level)|thinking (?:level|budget|mode))\b"
    r"|\bbudget_tokens\b|[\"'`](?:effort|thinking|reasoning)[\"'`]|(?:^|: )(?:reasoning|thinking|effort):"
    r"|\b(?:support|enable|allow|permit|accept)\w*\b[^.]{0,40}\b(?:reasoning|thinking)\b"
    r"|\b(?:reasoning|thinking)\b[^.]{0,40}\b(?:support|enable|allow|permit|accept)",
    re.IGNORECASE,
)

_SHOWN_AS: Final = dict.fromkeys(("request-id", "x-request-id"), "x-tokenhub-upstream-request-id")
_LIMITS: Final = "anthropic-ratelimit-"
_PLAIN: Final = re.compile(r"[!-~]{1,200}")


class Adapter(ABC):
    """Speaks one language of providers. Adapters hold no state: everything they know comes with the call."""

    @abstractmethod
    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Heard | Delta | Finish | Usage]:
        """Yield the pieces of one answer and one `Finish` before the last of them; raises `ProviderFailure`.

        What was `Heard` of the provider's headers comes first. A `Usage` among the rest is what has been told so far,
        for an answer that comes to no end. A whole answer is one piece. The connection is closed however the iteration
        ends.
        """

    def probe(self, provider: ProviderFacts) -> Outgoing | None:
        """Return a request that only shows whether a provider is there; None where there is nothing to ask."""
        return None

    def counts(self, request: Request, model: ModelFacts) -> Outgoing | None:
        """Return a request that asks how many tokens a prompt takes; None where the provider does not tell."""
        return None

    def relays(self, request: Request, model: ModelFacts) -> bool:
        """Whether the provider speaks the caller's format, so that bytes pass as they are, whatever they say."""
        return False

    def prepare(self, request: Request) -> None:
        """Do what takes long for a large request and can be done beside the hub, before anybody is asked."""
        with suppress(Untranslatable, InvalidRequest):  # then the model is left out
            request.conversation.get()

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return which field of the caller has no counterpart here and would be missed in the answer; else nothing."""
        if self.relays(request, model):
            return ""
        try:
            request.conversation.get()
        except (Untranslatable, InvalidRequest) as reason:
            return str(reason)
        return ""

    def judges(self, request: Request, model: ModelFacts) -> bool:
        """Whether what a request says may be an `obstacle`; the same for all of a format."""
        return not self.relays(request, model)

    def serves(self, request: Request, model: ModelFacts) -> frozenset[str]:
        """Return which needs of requests of this format are met here by other means than the model's own."""
        return frozenset()

    def dropped(self, request: Request, model: ModelFacts) -> Sequence[str]:
        """Return the names of the caller's fields that a translation leaves out or changes."""
        if self.relays(request, model):
            return ()
        conversation = request.conversation.get()
        return (*conversation.dropped, *self.losses(conversation, model))

    def losses(self, conversation: Conversation, model: ModelFacts) -> Sequence[str]:
        """Return what this language, or this model of it, has no words for in a conversation."""
        return ()


class HttpAdapter(Adapter):
    """An adapter for a provider that is called with one POST, whose answer is relayed or translated."""

    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Heard | Delta | Finish | Usage]:
        """Send the request and read the reply."""
        asked = beside.run(request.rest, self.outgoing, request, model)
        with transport.send(asked, model.provider, patience) as reply:
            yield Heard(dict(_shown(reply.headers, is_relayed=self.relays(request, model))))
            if reply.status != 200:
                raise self._failure(reply, request, model)
            if request.stream and "json" in reply.headers.get("content-type", ""):
                raise _no_stream(reply)
            if self.relays(request, model):
                yield from relayed(reply, request)
            else:
                yield from written(self._pieces(reply, request, model), request, model)

    def _pieces(self, reply: Reply, request: Request, model: ModelFacts) -> Iterator[Piece | Finish | Usage]:
        if not request.stream:
            yield from self.read_answer(reply.whole(), request, model)
            return
        reader = self.reader(request, model)
        known: Usage | None = None
        for event in events(reply):
            yield from reader.read(event)
            if reader.told.usage != known and not reader.ended:
                known = reader.told.usage or Usage()
                yield known
            if reader.ended:
                reply.settle()
                return
        yield from reader.close()

    def _failure(self, reply: Reply, request: Request, model: ModelFacts) -> ProviderFailure:
        """Return what the status and the words of a refusal mean."""
        failure = refused(reply, model)
        if not isinstance(failure, Rejected) or not _OF_REASONING.search(failure.message):
            return failure
        if self.relays(request, model) or request.conversation.get().reasoning is None:
            return failure
        return ReasoningRefused(failure.message, upstream_status=failure.upstream_status, body=failure.body)

    @abstractmethod
    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the HTTP request that asks the provider's model."""

    @abstractmethod
    def reader(self, request: Request, model: ModelFacts) -> StreamReader:
        """Return a reader of the provider's stream that answers a request."""

    @abstractmethod
    def read_answer(self, raw: bytes, request: Request, model: ModelFacts) -> Iterable[Piece | Finish]:
        """Return the pieces of a whole answer to a request, in the provider's language."""


def once_written(
    write: Callable[[Conversation], dict[str, Any]], request: Request, model: ModelFacts
) -> dict[str, Any]:
    """Return the body for a model, which is written once although it is looked at twice if its row refuses fields."""
    if not model.provider.unsupported:
        return write(request.conversation.get())
    return request.conversation.derived(write, ("body", model.pk))


def _shown(headers: Mapping[str, str], *, is_relayed: bool) -> Iterator[tuple[str, str]]:
    """Yield what a caller may see of a provider's headers: its id of the request, and in its language the limits."""
    for name, value in headers.items():
        known = _SHOWN_AS.get(name.lower(), "")
        if is_relayed and name.lower().startswith(_LIMITS):
            known = name.lower()
        if known and _PLAIN.fullmatch(value):
            yield known, value


def refused(reply: Reply, model: ModelFacts) -> ProviderFailure:
    """Return the failure that a reply other than 200 stands for, without the key if it is quoted."""
    key = model.provider.key
    return failures.classify(
        reply.status,
        reply.headers,
        reply.whole(_MAX_ERROR_BYTES),
        provider=model.provider.name,
        secret=key.reveal() if key else "",
    )


def written(
    pieces: Iterable[Piece | Finish | Usage], request: Request, model: ModelFacts
) -> Generator[Delta | Finish | Usage]:
    """Yield pieces in the caller's format, and the `Finish` itself before the last of them is sent."""
    writer = new_writer(request, model.id)
    for piece in pieces:
        if isinstance(piece, Usage):
            yield piece
            continue
        if isinstance(piece, Finish):
            yield piece  # at once: what is known is booked even if the caller leaves at this event
        if raw := writer.write(piece):
            yield Delta(raw, content=not request.stream or not isinstance(piece, Finish))


def relayed(reply: Reply, request: Request) -> Generator[Delta | Finish | Usage]:
    """Yield an answer in the provider's own bytes; what it tells of itself goes before the event that tells it.

    So what is known is booked even if the caller leaves at this event.
    """
    relay = RELAYS[request.format]
    if not request.stream:
        raw = reply.whole()
        yield relay.read_answer(raw, request)
        yield Delta(raw)
        return
    passing = relay.passing(request)
    try:
        for event in events(reply):
            seen = _seen(passing, event, request)
            if seen.tells is not None:
                yield seen.tells
            if not seen.hidden:
                yield Delta(event, seen.content)
            if seen.done:
                reply.settle()
                return
    except (Broken, TimedOut):
        if not passing.reason:  # how a connection ends does not matter once the answer is whole
            raise
    yield passing.close()


def _seen(passing: Passing, event: bytes, request: Request) -> Seen:
    """Return what an event says; a failure that it tells of has the event with it, where that can end a stream."""
    try:
        return passing.read(event)
    except ProviderFailure as failure:
        if request.format in _ENDED_BY_ERRORS:
            failure.event = event
        raise


def _no_stream(reply: Reply) -> ProviderFailure:
    """Return what JSON stands for where a stream was asked for: the error in it, if there is one."""
    error = load(reply.whole(_MAX_ERROR_BYTES)).get("error")
    return failures.in_band(error) if error else Broken("The provider did not answer with a stream.")


def events(reply: Reply) -> Iterator[bytes]:
    """Yield the events of a stream, each as it came.

    The last may come without its blank line, and then it gets one. Half an event is not passed on: it would run
    together with the error that tells of the end.
    """
    splitter = sse.EventSplitter()
    for piece in reply.pieces():
        yield from splitter.feed(piece)
    rest = splitter.rest()
    if _is_whole(sse.data_of(rest)):
        yield sse.ended(rest)


def _is_whole(data: bytes) -> bool:
    with suppress(Broken):
        return data == DONE or bool(load(data))
    return False
