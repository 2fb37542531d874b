"""Text completions as conversations: a prompt is what the user says in the only turn.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gateway import tokens
from gateway.conversation import Conversation, Text, Turn, Untranslatable
from gateway.errors import InvalidRequest
from gateway.exchange import PLAIN, Once, Policy, Request
from gateway.wire.fields import Fields

MOST_CHOICES: Final = 16
"""How many choices a model that only chats is asked for by one request: each is a chat of its own."""
_READ: Final = frozenset({*Policy.FIELDS, "model", "prompt", "stream", "stream_options", "max_tokens", "user"})
_READ_TOO: Final = frozenset({"temperature", "top_p", "top_k", "stop", "n", "best_of", "echo"})
# What chats have under the same name.
_OF_CHATS: Final = ("seed", "frequency_penalty", "presence_penalty", "logit_bias")
# What asks for another form of answer than words that follow a prompt, with the values that do not.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {"logprobs": (), "suffix": ("",)}


@dataclass(frozen=True, slots=True)
class Part:
    """One choice of several: what a model is asked for it, and what stands before its words."""

    request: Request
    echo: str


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


def number_of_prompts(body: Mapping[str, Any]) -> int:
    """Return how many prompts there are, each of which is answered."""
    return len(_prompts(body))


def parted_by(body: Mapping[str, Any]) -> str:
    """Return the field that asks for more than one answer to one prompt, `echo` among them; empty where none does."""
    asks = {"prompt": len(_prompts(body)) > 1, "n": body.get("n") not in (None, 1), "echo": bool(body.get("echo"))}
    return next((name for name, does in asks.items() if does), "")


def parts(request: Request) -> Iterator[Part]:
    """Yield what is asked for each choice, in their order: all of the first prompt, then all of the second."""
    asked = request.conversation.get()
    body = request.fields
    for prompt in _texts(body):
        said = Once(partial(replace, asked, turns=_turns(prompt)))
        one = replace(request, format=PLAIN, conversation=said, estimate=tokens.of_text(prompt))
        for _ in range(body.get("n") or 1):
            yield Part(one, prompt if body.get("echo") else "")


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """Return the first prompt as a turn of the user, which stands for the others; `parts` has them all.

    Raises `Untranslatable` for what only a model for completions can do, and `InvalidRequest`.
    """
    for name, harmless in _FORM.items():
        if body.get(name) is not None and body[name] not in harmless:
            raise Untranslatable(name)
    if body.get("max_tokens") == 0:  # which only tells the prompt again, or its probabilities
        raise Untranslatable("max_tokens")
    told = Fields(body)
    told.optional("echo", bool)
    prompts = _texts(body)
    _check_choices(told, len(prompts))
    return Conversation(
        turns=_turns(prompts[0]),
        max_tokens=told.positive("max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=(told.text("stop"),) if isinstance(body.get("stop"), str) else told.texts("stop"),
        user=told.optional("user", str),
        extras={name: body[name] for name in _OF_CHATS if body.get(name) is not None},
        dropped=tuple(
            name
            for name, value in body.items()
            if value is not None and name not in (*_READ, *_READ_TOO, *_FORM, *_OF_CHATS)
        ),
    )


def _check_choices(told: Fields, prompts: int) -> None:
    """Raise for more choices than are given, and for a best of more than are shown, which nobody here can judge."""
    shown = told.positive("n") or 1
    if (told.positive("best_of") or shown) != shown:
        raise Untranslatable("best_of")
    if prompts * shown > MOST_CHOICES:
        name = "n" if shown > 1 else "prompt"
        raise told.refusal(name, f"asks for {prompts * shown} choices; a model for chats gives {MOST_CHOICES} at most.")


def _texts(body: Mapping[str, Any]) -> list[str]:
    """Return the prompts; raises `Untranslatable` where one is given as numbers of tokens."""
    texts = [prompt for prompt in _prompts(body) if isinstance(prompt, str)]
    if len(texts) != len(_prompts(body)):
        raise Untranslatable("prompt")
    return texts


def _turns(prompt: str) -> tuple[Turn, ...]:
    return (Turn("user", (Text(prompt),)),)


def _prompts(body: Mapping[str, Any]) -> Sequence[str | Sequence[int]]:
    """Return the prompts, each a text or the numbers of its tokens; none where there is anything else among them."""
    given = body.get("prompt")
    each: list[Any] = given if isinstance(given, list) and not _is_tokens(given) else [given]
    return each if all(_is_tokens(prompt) or (isinstance(prompt, str) and prompt) for prompt in each) else ()


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(type(number) is int for number in prompt)
