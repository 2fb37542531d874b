"""Every feature goes over to every other format and comes back, whole and streamed, as the cases of translation say."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import orjson
import pytest

from gateway.conversation import Conversation, Piece, Untranslatable
from gateway.exchange import Finish, Policy, Request
from gateway.wire import anthropic, anthropic_stream, chat, chat_stream, messages, openai, responses_relay, sse
from gateway.wire.formats import FORMATS
from gateway.wire.pieces import StreamReader
from tests import official
from tests.conversations import events as cut
from tests.server import ROOT
from tests.translations import PAIRS, Exchange, exchanges

CASES: Final = tuple(exchanges())
HEAD: Final = {"id": "told_1", "created": 1_700_000_000, "model": "here"}
ROOM = 4096
ESTIMATE = 7
_WITH_USAGE: Final = {"stream": True, "stream_options": {"include_usage": True}}
STREAMED: Final[Mapping[str, Mapping[str, Any]]] = {
    "chat": _WITH_USAGE,
    "completion": _WITH_USAGE,
    "messages": {"stream": True},
    "responses": {"stream": True},
}
SMALLEST: Final[Mapping[str, Mapping[str, Any]]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "completion": {"prompt": "hi"},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
    "responses": {"input": "hi"},
}
READERS: Final = {
    "chat": openai.read_chat,
    "completion": openai.read_completion,
    "messages": lambda raw, body, policy: messages.read_message(raw, body, policy, {}),
    "responses": responses_relay.read_request,
}
# What other servers, and models of before, take beside what the types of today name.
BEYOND: Final = frozenset({"temperature", "top_p", "top_k"})


class Language(Protocol):
    """How a provider is asked, and how its answers are read."""

    def write(self, asked: Conversation, *, stream: bool) -> tuple[dict[str, Any], Iterable[str]]:
        """Return the body, and the names of what it leaves out."""

    def reader(self, asked: Conversation) -> StreamReader:
        """Return a reader of a stream."""

    def read(self, raw: bytes, asked: Conversation) -> Iterable[Piece | Finish]:
        """Return the pieces of a whole answer."""


@dataclass(frozen=True)
class Chats:
    """A provider that speaks OpenAI's language."""

    limit: Any = "max_completion_tokens"

    def write(self, asked: Conversation, *, stream: bool) -> tuple[dict[str, Any], Iterable[str]]:
        body = chat.write_conversation(asked, model="there", stream=stream, limit=self.limit)
        return body, chat.losses(asked)

    def reader(self, asked: Conversation) -> StreamReader:
        return chat_stream.StreamReader()

    def read(self, raw: bytes, asked: Conversation) -> Iterable[Piece | Finish]:
        return chat_stream.read_answer(raw)


@dataclass(frozen=True)
class Messages:
    """A provider that speaks Anthropic's language."""

    native_json: bool = False

    def write(self, asked: Conversation, *, stream: bool) -> tuple[dict[str, Any], Iterable[str]]:
        told: Any = {"max_tokens": ROOM, "native_json": self.native_json}
        body = anthropic.write_conversation(asked, model="there", stream=stream, **told)
        return body, anthropic.losses(asked, **told)

    def reader(self, asked: Conversation) -> StreamReader:
        return anthropic_stream.StreamReader(self._form_tool(asked))

    def read(self, raw: bytes, asked: Conversation) -> Iterable[Piece | Finish]:
        return anthropic_stream.read_answer(raw, self._form_tool(asked))

    def _form_tool(self, asked: Conversation) -> str:
        return anthropic.form_tool(asked, max_tokens=ROOM, native_json=self.native_json)


LANGUAGES: Final[Mapping[str, Callable[..., Language]]] = {"chat": Chats, "messages": Messages}
STREAMING = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
ASKED = pytest.mark.parametrize("case", [case for case in CASES if case.asked and case.sent], ids=str)
ANSWERED = pytest.mark.parametrize("case", [case for case in CASES if case.answer], ids=str)


def language(case: Exchange) -> Language:
    return LANGUAGES[case.provider](**case.model)


def request_of(case: Exchange, *, stream: bool) -> Request:
    """Return what the caller of a case asks, or the least that can be asked where that does not matter."""
    body = {"model": "here", **(case.asked or SMALLEST[case.caller]), **(STREAMED[case.caller] if stream else {})}
    return replace(READERS[case.caller](orjson.dumps(body), body, Policy()), estimate=ESTIMATE)


def data(event: bytes) -> Any:
    told = sse.data_of(event)
    return told.decode() if told == b"[DONE]" else orjson.loads(told)


def named(told: Any, expected: Any) -> Any:
    """Return what is told; of a response, which tells its request again as well, only what the case names."""
    if isinstance(told, dict) and told.get("object") == "response":
        return {name: told[name] for name in expected}
    if isinstance(told, dict) and "response" in told:
        return {**told, "response": named(told["response"], expected["response"])}
    return told


def test_it_works() -> None:
    assert PAIRS == (
        "chat-to-messages",
        "completion-to-chat",
        "completion-to-messages",
        "messages-to-chat",
        "responses-to-chat",
        "responses-to-messages",
    )
    assert len(CASES) > 200


@STREAMING
@ASKED
def test_what_is_asked_becomes_what_is_sent(case: Exchange, *, stream: bool) -> None:
    assert case.sent
    official.known(case.caller, request_of(case, stream=stream).fields)
    asked = request_of(case, stream=stream).conversation.get()
    body, lost = language(case).write(asked, stream=stream)
    expected = {**case.sent, **(STREAMED[case.provider] if stream else {})}
    assert body == expected
    assert [*asked.dropped, *lost] == list(case.dropped)
    beyond = {name: value for name, value in body.items() if name in BEYOND}
    assert official.known(case.provider, body) | beyond == body


@pytest.mark.parametrize("case", [case for case in CASES if case.untranslatable], ids=str)
def test_what_no_other_format_can_say_is_named(case: Exchange) -> None:
    with pytest.raises(Untranslatable) as raised:
        request_of(case, stream=False).conversation.get()
    assert raised.value.field == case.untranslatable


@ANSWERED
def test_a_whole_answer_becomes_what_is_told(case: Exchange) -> None:
    official.check_answer(case.provider, case.answer)
    request = request_of(case, stream=False)
    writer = FORMATS[request.format].whole(HEAD, request)
    read = language(case).read(orjson.dumps(case.answer), request.conversation.get())
    told = orjson.loads(b"".join(writer.write(piece) for piece in read))
    official.check_answer(case.caller, told)
    assert named(told, case.told) == case.told


@ANSWERED
@pytest.mark.parametrize("every", [1, 7, 100_000])
def test_a_streamed_answer_becomes_what_is_told(case: Exchange, every: int) -> None:
    official.check_events(case.provider, case.events)
    request = request_of(case, stream=True)
    writer, reader = FORMATS[request.format].stream(HEAD, request), language(case).reader(request.conversation.get())
    sent = b"".join(case.stream)
    read = [piece for event in cut(sent, *range(0, len(sent), every)) for piece in reader.read(event)]
    stream = b"".join(writer.write(piece) for piece in (*read, *reader.close()))
    told = [data(event) for event in cut(stream)]
    official.check_events(case.caller, told)
    expected = case.told_events
    assert [named(event, wanted) for event, wanted in zip(told, expected, strict=False)] == list(expected)
    assert len(told) == len(expected)


@pytest.mark.parametrize("case", [case for case in CASES if case.told and case.caller in {"chat", "messages"}], ids=str)
def test_what_is_told_in_a_stream_is_what_is_told_at_once(case: Exchange) -> None:
    """The helpers of the official SDKs collect the events to the whole answer."""
    assert case.told
    told = official.collected(case.caller, case.told_events)
    for name in ("choices", "content", "stop_reason", "usage"):
        assert said(told.get(name)) == said(case.told.get(name))


def said(value: Any) -> Any:
    """Return a value without what is empty, which a helper may leave out."""
    if isinstance(value, dict):
        return {name: said(inner) for name, inner in value.items() if inner not in (None, "")}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def table() -> dict[str, dict[str, str]]:
    """Return what the document says of each feature, by the format."""
    page = (ROOT / "docs/translation.md").read_text()
    head, _, *rows = [re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if line.startswith("|")]
    forms = [name.partition(" ")[0].removesuffix("s") for name in head[1:]]
    return {row[0]: dict(zip(forms, [*row[1:], "", ""], strict=False)) for row in rows}


def test_every_feature_of_the_document_has_its_cases_and_every_case_its_row() -> None:
    """A format that has no words for a feature asks for none of it."""
    forms = {"chat": "chat", "messages": "message", "responses": "response"}
    wanted = {
        (pair, feature)
        for feature, cells in table().items()
        for pair in PAIRS
        if (caller := pair.partition("-to-")[0]) in forms and cells[forms[caller]]
    }
    told = {(case.pair, case.feature) for case in CASES if case.caller in forms}
    assert told == wanted
    assert len(table()) > 15
