"""A conversation and the pieces of its answer in no wire format's words: the middle of every translation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

# Where the field alone does not say what is missing.
_LACKS: Final = {"n": "gives one choice only (`n`)", "prompt": "takes no numbers of tokens (`prompt`)"}


class Untranslatable(Exception):
    """A request holds what no other wire format can say; `field` is its path in the caller's body.

    No caller sees it: whoever picks models leaves out those that need a translation, and tells this as the reason.
    """

    def __init__(self, field: str) -> None:
        super().__init__(_LACKS.get(field) or f"cannot translate `{field}`")
        self.field = field


@dataclass(frozen=True, slots=True)
class Text:
    """Words. `cache` is the hint up to where a provider may keep the prompt, in Anthropic's form.

    `apart` are those that begin a message: the parts of one go on in the middle of a word, messages do not.
    """

    text: str
    cache: Mapping[str, Any] | None = None
    apart: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: at `url`, or `data` (base64) of `media_type`; `detail` as OpenAI has it (low, high, auto)."""

    url: str = ""
    data: str = ""
    media_type: str = ""
    detail: str = ""
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file to be read: at `url`, as `data` (base64) of `media_type`, or as plain `text`; `name` is its title."""

    url: str = ""
    data: str = ""
    media_type: str = ""
    text: str = ""
    name: str = ""
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A model's wish to have a tool called; `arguments` is the JSON text of an object, as the model wrote it.

    `place` is where the arguments stand in the caller's body, for a refusal to name.
    """

    id: str
    name: str
    arguments: str
    cache: Mapping[str, Any] | None = None
    place: str = field(default="messages", compare=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call."""

    id: str
    content: Sequence[Text | Image | Document]
    is_error: bool = False
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning that its model shows, with the signature by which it knows it again; `redacted` where it is sealed."""

    text: str = ""
    signature: str = ""
    redacted: str = ""

    @property
    def is_known_again(self) -> bool:
        """Whether its model takes it back: for that it is signed or sealed."""
        return bool(self.signature or self.redacted)


Block = Text | Image | Document | ToolUse | ToolResult | Thought


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; the sides alternate."""

    role: Literal["user", "assistant"]
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may ask to be called; `schema` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tool is to be called: the model's own choice, none, any one, or the one of that `name`."""

    kind: Literal["auto", "none", "any", "tool"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The JSON that an answer has to be: an object of this `schema`, or any object where there is none."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much a model is to think before it answers: an `effort` in words, `none` for not at all, or a `budget`.

    Where there is neither, the model decides. The budget is in tokens.
    """

    effort: str = ""
    budget: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a model is asked, and how it is to answer. None and empty mean that the caller did not say."""

    turns: Sequence[Turn]
    system: Sequence[Text] = ()
    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: Sequence[str] = ()
    user: str | None = None
    form: AnswerForm | None = None
    reasoning: Reasoning | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Fields that only chats take, by their names there."""
    dropped: Sequence[str] = ()
    """The caller's fields that have no counterpart and change no answer's form, such as `seed`."""

    @property
    def forces_nothing(self) -> bool:
        """Whether a tool is to be called although there is none, which no format can say."""
        return self.tool_choice is not None and self.tool_choice.kind in {"any", "tool"} and not self.tools

    def blocks(self) -> Iterator[Block]:
        """Yield what is said, and what results of tools consist of."""
        for turn in self.turns:
            for block in turn.blocks:
                yield block
                if isinstance(block, ToolResult):
                    yield from block.content


# --- the pieces of an answer, in their order ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """The next words of the answer, or of a refusal to give one where the provider tells them apart."""

    text: str
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """The next words of the reasoning before an answer; a signature and a sealed form come as pieces of their own."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


@dataclass(frozen=True, slots=True)
class CallBegins:
    """A tool call begins; `index` counts the calls of this answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next characters of the JSON text of the arguments of the call with this `index`."""

    index: int
    text: str


Piece = Words | Thinking | CallBegins | CallArguments
