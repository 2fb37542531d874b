"""The adapter for vLLM and other servers of one's own that speak OpenAI's language: a key is optional there."""

from gateway.adapters.openai import OpenAIAdapter


class VllmAdapter(OpenAIAdapter):
    """OpenAI's language in full; what differs (no key, an address of one's own) is said by the provider's row."""
