"""Conversations and answers of every kind, for properties that hold for all of them."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gateway.conversation import (
    CallArguments,
    CallBegins,
    Conversation,
    Document,
    Image,
    Piece,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from gateway.exchange import Finish, Usage
from gateway.wire import sse
from gateway.wire.pieces import Writer

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault

NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
SAID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
WORDS = SAID.filter(str.strip)
SCHEMAS = st.dictionaries(NAMES, st.dictionaries(NAMES, SAID, max_size=2), max_size=2).map(
    lambda properties: {"type": "object", "properties": properties}
)
ARGUMENTS = st.dictionaries(
    NAMES, st.none() | st.booleans() | st.integers(-9, 9) | SAID | st.lists(SAID), max_size=3
).map(lambda value: orjson.dumps(value).decode())
COUNTS = st.integers(0, 10_000)


def images(details: st.SearchStrategy[str]) -> st.SearchStrategy[Image]:
    """Pictures at addresses and in the body."""
    media_types = st.sampled_from(["image/png", "image/jpeg", "image/svg+xml"])
    return st.builds(Image, url=NAMES.map("https://example.com/{}".format), detail=details) | st.builds(
        Image, data=NAMES, media_type=media_types, detail=details
    )


def documents() -> st.SearchStrategy[Document]:
    """Files in the body that both sides keep as they are."""
    return st.builds(Document, data=NAMES, media_type=st.just("application/pdf"), name=NAMES)


def turns(
    user: st.SearchStrategy[Any], assistant: st.SearchStrategy[Any], *, first: str = ""
) -> st.SearchStrategy[tuple[Turn, ...]]:
    """Turns of alternating sides, beginning with either of them or with the first that is named."""
    said = {"user": user, "assistant": assistant}

    def of(begins: str) -> st.SearchStrategy[tuple[Turn, ...]]:
        other = "assistant" if begins == "user" else "user"
        pair = st.tuples(
            st.builds(Turn, st.just(begins), said[begins].map(tuple)),
            st.builds(Turn, st.just(other), said[other].map(tuple)),
        )
        return st.tuples(st.lists(pair, max_size=2), pair, st.booleans()).map(
            lambda drawn: (*(turn for pair in drawn[0] for turn in pair), *drawn[1][: 1 + drawn[2]])
        )

    return of(first) if first else st.sampled_from(["user", "assistant"]).flatmap(of)


def uses() -> st.SearchStrategy[ToolUse]:
    """Calls of tools."""
    return st.builds(ToolUse, NAMES, NAMES, ARGUMENTS)


def results(content: st.SearchStrategy[Any], is_error: st.SearchStrategy[bool]) -> st.SearchStrategy[ToolResult]:
    """Results of tools."""
    return st.builds(ToolResult, NAMES, content, is_error)


@st.composite
def conversations(
    draw: st.DrawFn,
    /,
    said: st.SearchStrategy[tuple[Turn, ...]],
    system: st.SearchStrategy[Any],
    tools: st.SearchStrategy[Tool],
    **asked: st.SearchStrategy[Any],
) -> Conversation:
    """Conversations of these turns, with tools and all that belongs to them or without."""
    offered = tuple(draw(st.lists(tools, max_size=2)))
    kinds = st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("any")])
    chosen = st.none() | kinds | NAMES.map(lambda name: ToolChoice("tool", name))
    choice = draw(chosen) if offered else None
    return Conversation(
        turns=draw(said),
        system=tuple(draw(system)),
        tools=offered,
        tool_choice=choice,
        **{name: draw(values) for name, values in asked.items() if name != "parallel_tools" or offered},
    )


def thoughts() -> st.SearchStrategy[list[Thinking]]:
    """Reasoning in a row, signed and sealed or not."""
    signed, sealed = st.builds(Thinking, signature=NAMES), st.builds(Thinking, redacted=NAMES)
    return st.lists(st.builds(Thinking, SAID) | signed | sealed, min_size=1, max_size=3)


@st.composite
def answers(
    draw: st.DrawFn, thoughts: st.SearchStrategy[list[Thinking]], usages: st.SearchStrategy[Usage | None]
) -> list[Piece | Finish]:
    """The pieces of an answer: reasoning, words and calls in any order, then the end."""
    said: list[Piece | Finish] = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["words", "thought", "call"]), max_size=5)):
        if kind == "words":
            said += draw(st.lists(st.builds(Words, SAID), min_size=1, max_size=3))
        elif kind == "thought":
            said += draw(thoughts)
        else:
            text = draw(ARGUMENTS)
            cut = draw(st.integers(0, len(text)))
            said += [CallBegins(calls, f"call_{calls}", draw(NAMES))]
            said += [CallArguments(calls, part) for part in (text[:cut], text[cut:]) if part]
            calls += 1
    reason = draw(st.sampled_from(["tool_calls" if calls else "stop", "length", "content_filter"]))
    return [*said, Finish(reason, draw(usages))]


def joined(pieces: Iterable[Piece | Finish]) -> list[Piece | Finish]:
    """Return the pieces with what continues its neighbour joined to it."""
    together: list[Piece | Finish] = []
    for piece in pieces:
        match together[-1] if together else None, piece:
            case Words(before, kind), Words(text, same) if kind == same:
                together[-1] = Words(before + text, kind)
            case Thinking(before, "", ""), Thinking(text, "", "") if before and text:
                together[-1] = Thinking(before + text)
            case CallArguments(index, before), CallArguments(same, text) if index == same:
                together[-1] = CallArguments(index, before + text)
            case _:
                together.append(piece)
    return together


def events(stream: bytes, *cuts: int) -> list[bytes]:
    """Return the events of a stream that arrives in pieces."""
    splitter = sse.EventSplitter()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found = [event for a, b in pairwise(places) for event in splitter.feed(stream[a:b])]
    assert not splitter.rest()
    return found


def written(writer: Writer, said: Iterable[Piece | Finish]) -> list[bytes]:
    """Return what a writer says to each piece."""
    return [writer.write(piece) for piece in said]
