"""What is known of services that speak OpenAI's or Anthropic's language: the fields that a new provider begins with.

A preset is a beginning, not a bond: a row holds the fields themselves and does not know which preset they came from.

Sources: the public API documentation of each service, named beside its entry. A field stands under `unsupported` only
where the service refuses requests that have it; what a service ignores is sent to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Preset:
    """A service: its name for people, and the fields of its row, as a configuration file would give them.

    `lives_at` is an example of its address where only its user knows that.
    """

    title: str
    fields: Mapping[str, Any]
    lives_at: str = ""


_LIKE_OPENAI: Final = ["chat", "completions", "embeddings"]
_ALL: Final = [*_LIKE_OPENAI, "responses"]

PRESETS: Final[Mapping[str, Preset]] = {
    # Source: OpenAI's API reference: max_tokens is deprecated, and reasoning models refuse it.
    "openai": Preset("OpenAI", {"type": "openai", "limit_field": "max_completion_tokens", "endpoints": _ALL}),
    # Source: Anthropic's API reference.
    "anthropic": Preset("Anthropic", {"type": "anthropic"}),
    # Source: Microsoft's documentation of Azure OpenAI, "v1 API": no api-version, the model is the deployment's name.
    "azure": Preset(
        "Azure OpenAI, v1",
        {"type": "openai", "auth_header": "api-key", "endpoints": ["chat", "embeddings", "responses"]},
        lives_at="https://RESOURCE.openai.azure.com/openai/v1",
    ),
    # Source: Microsoft's REST API reference of Azure OpenAI, the data plane of 2024-10-21.
    "azure-deployments": Preset(
        "Azure OpenAI, deployments with an api-version",
        {
            "type": "openai",
            "auth_header": "api-key",
            "path": "openai/deployments/{model}/{endpoint}",
            "query": {"api-version": "2024-10-21"},
            "endpoints": _LIKE_OPENAI,
        },
        lives_at="https://RESOURCE.openai.azure.com",
    ),
    # Source: OpenRouter's API reference: parameters that a model does not know are ignored; "Prompt Caching":
    # cache_control stands on parts of messages.
    "openrouter": Preset(
        "OpenRouter",
        {
            "type": "openai",
            "base_url": "https://openrouter.ai/api/v1",
            "cache_control": True,
            "endpoints": _ALL,
        },
    ),
    # Source: Groq's documentation, "OpenAI Compatibility": these are answered with 400.
    "groq": Preset(
        "Groq",
        {
            "type": "openai",
            "base_url": "https://api.groq.com/openai/v1",
            "unsupported": ["logprobs", "top_logprobs", "logit_bias", "messages[].name"],
            "endpoints": ["chat", "responses"],
        },
    ),
    # Source: Mistral's API reference, whose schema forbids fields that it does not name (422): these are OpenAI's.
    # Its streams tell their usage unasked.
    "mistral": Preset(
        "Mistral",
        {
            "type": "openai",
            "base_url": "https://api.mistral.ai/v1",
            "unsupported": [
                "stream_options",
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "seed",
                "user",
                "store",
                "service_tier",
                "messages[].name",
                "messages[].reasoning_content",
                "messages[].thinking_blocks",
            ],
            "limit_field": "max_tokens",
            "endpoints": ["chat", "embeddings"],
        },
    ),
    # Source: Together's documentation, "OpenAI compatibility".
    "together": Preset(
        "Together",
        {
            "type": "openai",
            "base_url": "https://api.together.ai/v1",
            "limit_field": "max_tokens",
            "endpoints": _LIKE_OPENAI,
        },
    ),
    # Source: DeepSeek's API reference: max_completion_tokens is ignored; "Thinking Mode": with tools, a message of the
    # assistant without its reasoning_content is answered with 400.
    "deepseek": Preset(
        "DeepSeek",
        {
            "type": "openai",
            "base_url": "https://api.deepseek.com/v1",
            "limit_field": "max_tokens",
            "reasoning_back": "reasoning_content",
            "endpoints": ["chat"],
        },
    ),
    # Source: Google's documentation of the Gemini API, "OpenAI compatibility"; unknown names are answered with 400.
    # "Thought signatures": so is a call of a newer model without its own.
    "gemini": Preset(
        "Gemini",
        {
            "type": "openai",
            "base_url": "https://generativelanguage.googleapis.com/v1beta/openai",
            "unsupported": ["frequency_penalty", "seed", "store", "metadata"],
            "reasoning_back": "thought_signature",
            "endpoints": ["chat", "embeddings"],
        },
    ),
    # Source: vLLM's documentation, "Online Serving".
    "vllm": Preset("vLLM", {"type": "vllm", "base_url": "http://localhost:8000/v1", "endpoints": _ALL}),
    # Source: Ollama's documentation, "OpenAI compatibility"; what it does not know it ignores.
    "ollama": Preset(
        "Ollama",
        {
            "type": "vllm",
            "base_url": "http://localhost:11434/v1",
            "limit_field": "max_tokens",
            "endpoints": _ALL,
        },
    ),
    # Source: the README of llama.cpp's server.
    "llama.cpp": Preset(
        "llama.cpp",
        {
            "type": "vllm",
            "base_url": "http://localhost:8080/v1",
            "limit_field": "max_tokens",
            "endpoints": _ALL,
        },
    ),
    # Source: LM Studio's documentation, "OpenAI compatibility endpoints".
    "lmstudio": Preset(
        "LM Studio",
        {
            "type": "vllm",
            "base_url": "http://localhost:1234/v1",
            "limit_field": "max_tokens",
            "endpoints": _ALL,
        },
    ),
    # Source: SGLang's documentation, "OpenAI-compatible APIs".
    "sglang": Preset("SGLang", {"type": "vllm", "base_url": "http://localhost:30000/v1", "endpoints": _LIKE_OPENAI}),
    # Source: the documentation of Text Generation Inference, "Messages API".
    "tgi": Preset(
        "Text Generation Inference",
        {"type": "vllm", "base_url": "http://localhost:3000/v1", "limit_field": "max_tokens", "endpoints": ["chat"]},
    ),
}
