"""Asks for debates between scripted models, and reads what is streamed of them."""

from collections.abc import Iterator
from typing import Any, Final

import orjson
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import message
from tests.scripted_openai import chat_stream
from tests.scripted_script import Tokens
from tests.server import Gateway

PROMPT: Final = "Design a microservices architecture for an e-commerce platform"
PLAN: Final = Tokens(20, 100)
CRITIQUE: Final = Tokens(130, 50)
REFINED: Final = Tokens(300, 150)
Sent = tuple[str, dict[str, Any]]


def ask(gateway: Gateway, **body: Any) -> requests.Response:
    """Ask for a debate of the prompt; a stream is returned unread."""
    asked = {"prompt": PROMPT} | body
    stream = bool(body.get("stream"))
    return gateway.session.post(f"{gateway.url}/v1/adversarial", json=asked, stream=stream, timeout=30)


def play_debate(provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """Let OpenAI plan and refine, and Anthropic criticise."""
    provider.play(chat_stream(["the", " plan"], usages=[PLAN]), chat_stream(["better", " plan"], usages=[REFINED]))
    anthropic.play(message(["too", " vague"], usage=CRITIQUE))


def sent(answer: requests.Response) -> Iterator[Sent]:
    """Yield the events of a stream as they come: their names with their data; a comment has no name."""
    for block in answer.iter_lines(delimiter=b"\n\n", chunk_size=1):
        name, _, data = block.decode().partition("\n")
        if name.startswith("event: "):
            yield name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))
        elif name:
            yield "", {"comment": name}


def without_comments(answer: requests.Response) -> list[Sent]:
    """Return the events of a stream that say something."""
    return [event for event in sent(answer) if event[0]]
