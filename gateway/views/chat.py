"""`POST /v1/chat/completions`."""

from collections.abc import Mapping
from typing import Any

from gateway.exchange import Request
from gateway.views.base import GenerationView
from gateway.wire import openai


class ChatCompletions(GenerationView):
    """Chat in OpenAI's format, streamed or whole."""

    def read(self, raw: bytes, body: Mapping[str, Any]) -> Request:
        """Return the chat that a body asks for."""
        return openai.read_chat(raw, body)
