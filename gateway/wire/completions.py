"""Text completions as conversations: a prompt is what the user says in the only turn.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway import tokens
from gateway.conversation import Conversation, Text, Turn, Untranslatable
from gateway.errors import InvalidRequest
from gateway.exchange import Policy
from gateway.wire.fields import Fields

_READ: Final = frozenset({*Policy.FIELDS, "model", "prompt", "stream", "stream_options", "max_tokens", "user"})
_READ_TOO: Final = frozenset({"temperature", "top_p", "top_k", "stop"})
# What asks for another form of answer than words that follow a prompt, with the values that do not.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (),
    "suffix": ("",),
}


def check_prompt(body: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for a prompt that is missing or no prompt."""
    if not _prompts(body):
        raise InvalidRequest(
            "`prompt` must be a text that is not empty, numbers of tokens, or a list of either.",
            param="prompt",
        )


def estimate(body: Mapping[str, Any]) -> int:
    """Return about how many tokens the longest of the prompts takes: each has the window for itself."""
    return max(tokens.of_text(each) if isinstance(each, str) else len(each) for each in _prompts(body))


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """Return the prompt as a turn of the user; raises `Untranslatable` for what only a model for completions can do."""
    for name, harmless in _FORM.items():
        if body.get(name) is not None and body[name] not in harmless:
            raise Untranslatable(name)
    told = Fields(body)
    prompt, *more = _prompts(body)
    if more or not isinstance(prompt, str):
        raise Untranslatable("prompt")
    return Conversation(
        turns=(Turn("user", (Text(prompt),)),),
        max_tokens=told.positive("max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=(told.text("stop"),) if isinstance(body.get("stop"), str) else told.texts("stop"),
        user=told.optional("user", str),
        dropped=tuple(
            name
            for name, value in body.items()
            if value is not None and name not in _READ and name not in _READ_TOO and name not in _FORM
        ),
    )


def _prompts(body: Mapping[str, Any]) -> Sequence[str | Sequence[int]]:
    """Return the prompts, each a text or the numbers of its tokens; none where there is anything else among them."""
    given = body.get("prompt")
    each: list[Any] = given if isinstance(given, list) and not _is_tokens(given) else [given]
    return each if all(_is_tokens(prompt) or (isinstance(prompt, str) and prompt) for prompt in each) else ()


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(type(number) is int for number in prompt)
