"""Runs a flow: as events for those who ask it by name, or as the answer of a virtual model."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from gateway.adapters.transport import Transport
from gateway.conversation import Conversation, Untranslatable, Words
from gateway.errors import GatewayError, InvalidRequest
from gateway.exchange import CHAT, Call, Delta, Finish, Once, Policy, Request
from gateway.flows.base import Flow, costs
from gateway.flows.phases import MICRO, Event, Message, Result, Said, Stage, Started, Wish
from gateway.patience import Patience
from gateway.wire import chat_messages, openai, sse
from gateway.wire.fields import Fields
from gateway.wire.formats import new_writer
from registry.snapshot import Snapshot

_MOST_USD: Final = 1e9  # more than any request can cost


def read_wish(
    flow: Flow,
    body: Mapping[str, Any],
    conversation: Once[Conversation],
    *,
    policy: Policy,
    messages: Sequence[Message] | None = None,
) -> Wish:
    """Return what a body asks of a flow; `messages` is its conversation as a chat, where the body has it so.

    Raises `InvalidRequest` naming the field at fault, be it one that asks for another answer than words.
    """
    try:
        asked = conversation.get()
    except Untranslatable as reason:
        raise InvalidRequest(f"A flow has no `{reason.field}`.", param=reason.field) from None
    if asked.tools:
        raise InvalidRequest("A flow has no `tools`.", param="tools")
    if asked.form:
        raise InvalidRequest("A flow has no `response_format`.", param="response_format")
    told = Fields(body)
    limit = told.number("max_total_cost_usd")
    if messages is None:
        messages = list(chat_messages.write_messages(asked.system, asked.turns))
    wish = Wish(
        messages=messages,
        options={name: body.get(name) for name in flow.options},
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        limit_micro=None if limit is None else int(min(limit, _MOST_USD) * MICRO),
        stream=bool(told.optional("stream", bool)),
        policy=policy,
    )
    flow.check(wish)
    return wish


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
    messages = openai.messages_of(request.fields) if request.format == CHAT else None
    wish = read_wish(flow, request.fields, request.conversation, policy=request.policy, messages=messages)
    wish = replace(wish, shows_phases=False)
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
