"""The items of a response while they are written, each with the events that tell of it.

Source: the public API reference of OpenAI and the types of its official SDK. An item begins, grows and ends; items may
be open side by side, since every event says which of them it belongs to.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson

from gateway.wire import responses_thoughts
from gateway.wire.responses_tools import Origin, as_input

Told = dict[str, Any]
"""An event without its number, or an item."""


class Item(ABC):
    """One item of an answer at its place in the output; `token` makes its id unlike those of other answers."""

    prefix: ClassVar[str]

    def __init__(self, place: int, token: str) -> None:
        self.id = f"{self.prefix}_{token}_{place}"
        self.place = place
        self._texts: list[str] = []
        self.status = "in_progress"

    @property
    def text(self) -> str:
        """What has been said of it."""
        return "".join(self._texts)

    @property
    def is_open(self) -> bool:
        """Whether there may be more to come."""
        return self.status == "in_progress"

    @abstractmethod
    def told(self) -> Told:
        """Return the item as it is now."""

    def begin(self) -> Iterator[Told]:
        """Yield the events of its beginning."""
        yield {"type": "response.output_item.added", "output_index": self.place, "item": self.told()}

    def say(self, text: str) -> Iterator[Told]:
        """Yield the events of more text."""
        self._texts.append(text)
        yield self._event(f"{self._of_text()}.delta", delta=text, **self._where())

    def end(self, status: str = "completed") -> Iterator[Told]:
        """Yield the events of its end; `status` is `completed` or `incomplete`."""
        self.status = status
        yield from self._end_text()
        yield {"type": "response.output_item.done", "output_index": self.place, "item": self.told()}

    @abstractmethod
    def _of_text(self) -> str:
        """Return the name of the events of its text, without what they say of it."""

    @abstractmethod
    def _end_text(self) -> Iterator[Told]: ...

    def _where(self) -> Told:
        """Return where its text stands, for the events of the text."""
        return {}

    def _event(self, kind: str, **told: Any) -> Told:
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.place, **told}


class Message(Item):
    """Words."""

    prefix = "msg"

    def told(self) -> Told:
        """Return the message."""
        content = [] if self.is_open else [self._part()]
        return {"type": "message", "id": self.id, "status": self.status, "role": "assistant", "content": content}

    def begin(self) -> Iterator[Told]:
        """Yield the events of its beginning, and of that of its one part."""
        yield from super().begin()
        yield self._event("content_part.added", content_index=0, part=self._part())

    def _of_text(self) -> str:
        return "output_text"

    def _where(self) -> Told:
        return {"content_index": 0, "logprobs": []}

    def _end_text(self) -> Iterator[Told]:
        yield self._event("output_text.done", text=self.text, **self._where())
        yield self._event("content_part.done", content_index=0, part=self._part())

    def _part(self) -> Told:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}


class Refusal(Message):
    """Words that stand for an answer which the model will not give."""

    def _of_text(self) -> str:
        return "refusal"

    def _where(self) -> Told:
        return {"content_index": 0}

    def _end_text(self) -> Iterator[Told]:
        yield self._event("refusal.done", refusal=self.text, **self._where())
        yield self._event("content_part.done", content_index=0, part=self._part())

    def _part(self) -> Told:
        return {"type": "refusal", "refusal": self.text}


class Reasoning(Item):
    """Reasoning, with an envelope of what its model knows it by, which may be empty.

    By it a provider's own reasoning is told from that of a model elsewhere, of which the provider knows nothing.
    """

    prefix = "rs"

    def __init__(self, place: int, token: str) -> None:
        super().__init__(place, token)
        self.envelope = responses_thoughts.seal()
        self._has_part = False

    def told(self) -> Told:
        """Return the reasoning; without text it has no summary."""
        summary = [] if self.is_open or not self._has_part else [self._part()]
        encrypted = None if self.is_open else self.envelope
        return {"type": "reasoning", "id": self.id, "summary": summary, "encrypted_content": encrypted}

    def say(self, text: str) -> Iterator[Told]:
        """Yield the events of more text, which begins the summary if it is the first."""
        if not self._has_part:
            self._has_part = True
            yield self._event("reasoning_summary_part.added", part=self._part(), **self._where())
        yield from super().say(text)

    def seal(self, *, signature: str = "", redacted: str = "") -> None:
        """Put what its model knows it by into the envelope."""
        self.envelope = responses_thoughts.seal(signature=signature, redacted=redacted)

    def _of_text(self) -> str:
        return "reasoning_summary_text"

    def _where(self) -> Told:
        return {"summary_index": 0}

    def _end_text(self) -> Iterator[Told]:
        if self._has_part:
            yield self._event("reasoning_summary_text.done", text=self.text, **self._where())
            yield self._event("reasoning_summary_part.done", part=self._part(), **self._where())

    def _part(self) -> Told:
        return {"type": "summary_text", "text": self.text}


class Call(Item):
    """A call of a function; one without arguments has an empty object of them, unless it was cut off."""

    prefix = "fc"

    def __init__(self, place: int, token: str, call: str, origin: Origin) -> None:
        super().__init__(place, token)
        self._called: Mapping[str, str] = {"call_id": call, "name": origin.name} | (
            {"namespace": origin.namespace} if origin.namespace else {}
        )

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a whole object, after which no more can come."""
        try:
            return isinstance(orjson.loads(self.text), dict)
        except orjson.JSONDecodeError:
            return False

    def told(self) -> Told:
        """Return the call."""
        told = {"type": "function_call", "id": self.id, "status": self.status, **self._called}
        return {**told, "arguments": "" if self.is_open else self.text}

    def _of_text(self) -> str:
        return "function_call_arguments"

    def _end_text(self) -> Iterator[Told]:
        if not self.text.strip() and self.status == "completed":
            yield from self.say("{}")
        yield self._event("function_call_arguments.done", arguments=self.text, name=self._called["name"])


class CustomCall(Call):
    """A call of a custom tool. Its input is told at the end: until then it is a part of a JSON text."""

    prefix = "ctc"

    def told(self) -> Told:
        """Return the call."""
        told = {"type": "custom_tool_call", "id": self.id, "status": self.status, **self._called}
        return {**told, "input": "" if self.is_open else as_input(self.text)}

    def say(self, text: str) -> Iterator[Told]:
        """Keep more of the arguments."""
        self._texts.append(text)
        yield from ()

    def _end_text(self) -> Iterator[Told]:
        said = as_input(self.text)
        yield self._event("custom_tool_call_input.delta", delta=said)
        yield self._event("custom_tool_call_input.done", input=said)


def new_call(place: int, token: str, call: str, origin: Origin) -> Call:
    """Return a call of the tool that a function was to the caller."""
    return _CALLS[origin.kind](place, token, call, origin)


_CALLS: Final[Mapping[str, type[Call]]] = {"function": Call, "custom": CustomCall}
