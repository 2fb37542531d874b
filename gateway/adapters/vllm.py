"""The adapter for vLLM and other servers of one's own that speak OpenAI's language: a key is optional there."""

from typing import Literal

from gateway.adapters.openai import OpenAIAdapter
from gateway.exchange import COMPLETION, Request
from registry.snapshot import ModelFacts


class VllmAdapter(OpenAIAdapter):
    """OpenAI's language in full; what differs (no key, an address of one's own) is said by the provider's row."""

    limit: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"

    def relays(self, request: Request, model: ModelFacts) -> bool:
        """Relay whatever the model can do: here one model serves chats and completions alike."""
        if request.format == COMPLETION:
            return request.format in model.capabilities and "completions" in model.provider.endpoints
        return super().relays(request, model)
