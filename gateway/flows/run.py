"""Runs a flow: as events for those who ask it by name, or as the answer of a virtual model."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from gateway.adapters.transport import Transport
from gateway.conversation import Text, Untranslatable, Words
from gateway.errors import GatewayError, InvalidRequest
from gateway.exchange import COMPLETION, Call, Delta, Finish, Policy, Request
from gateway.flows.base import Flow, costs
from gateway.flows.phases import MICRO, Event, Message, Result, Said, Stage, Started, Wish
from gateway.patience import Patience
from gateway.wire import chat, openai, sse
from gateway.wire.fields import Fields
from gateway.wire.formats import new_writer
from registry.snapshot import Snapshot

_MOST_USD: Final = 1e9  # more than any request can cost


def read_wish(flow: Flow, body: Mapping[str, Any], messages: Sequence[Message], policy: Policy) -> Wish:
    """Return what a body asks of a flow; raises `InvalidRequest` naming the field at fault."""
    told = Fields(body)
    _check_form({**body, "messages": messages})
    limit = told.number("max_total_cost_usd")
    wish = Wish(
        messages=messages,
        options={name: body.get(name) for name in flow.options},
        max_tokens=told.positive("max_completion_tokens") or told.positive("max_tokens"),
        temperature=told.number("temperature"),
        limit_micro=None if limit is None else int(min(limit, _MOST_USD) * MICRO),
        stream=bool(told.optional("stream", bool)),
        policy=policy,
    )
    flow.check(wish)
    return wish


def _check_form(body: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for what is no chat, and for what asks for another answer than words."""
    try:
        conversation = chat.read_conversation(body)
    except Untranslatable as reason:
        raise InvalidRequest(f"A flow has no `{reason.field}`.", param=reason.field) from None
    if conversation.tools:
        raise InvalidRequest("A flow has no `tools`.", param="tools")
    if conversation.form:
        raise InvalidRequest("A flow has no `response_format`.", param="response_format")


def events(
    flow: Flow, wish: Wish, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call
) -> Generator[Event]:
    """Yield what happens, and the `Result` at the end; what is raised carries what was made until then."""
    stage = Stage(wish, snapshot, patience, transport=transport, call=call)

    def made() -> dict[str, Any]:
        return {**flow.body(wish, stage.completed), **costs(call.attempts)}

    try:
        answer = yield from flow.run(stage)
    except GatewayError as error:
        error.partial = made()
        raise
    yield Result(answer, made())


def deltas(
    flow: Flow, request: Request, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call
) -> Generator[Delta]:
    """Yield the flow's answer in the caller's format; the phases before it show as comments of a stream."""
    wish = read_wish(flow, request.fields, _messages(request), request.policy)
    writer = new_writer(request, request.model)
    with closing(events(flow, wish, snapshot, patience, transport=transport, call=call)) as happening:
        for event in happening:
            match event:
                case Said(text=text, final=True) if request.stream:
                    yield Delta(writer.write(Words(text)))
                case Started(phase) if request.stream and call.attempts:
                    yield Delta(sse.comment(phase.encode()), content=False)
                case Result(answer):
                    said = b"" if request.stream else writer.write(Words(answer.text))
                    yield Delta(said + writer.write(Finish(answer.reason, call.usage)))


def _messages(request: Request) -> Sequence[Message]:
    if request.format != COMPLETION:
        return openai.messages_of(request.fields)
    try:
        (turn,) = request.conversation.get().turns
    except Untranslatable as reason:
        raise InvalidRequest(f"A flow has no `{reason.field}`.", param=reason.field) from None
    return [{"role": "user", "content": block.text} for block in turn.blocks if isinstance(block, Text)]
