"""Which adapter speaks for which type of provider."""

from collections.abc import Mapping
from typing import Final

from gateway.adapters.anthropic import AnthropicAdapter
from gateway.adapters.base import Adapter
from gateway.adapters.echo import EchoAdapter
from gateway.adapters.openai import OpenAIAdapter
from gateway.adapters.vllm import VllmAdapter
from registry.models import ProviderType

ADAPTERS: Final[Mapping[ProviderType, Adapter]] = {
    ProviderType.OPENAI: OpenAIAdapter(),
    ProviderType.ANTHROPIC: AnthropicAdapter(),
    ProviderType.VLLM: VllmAdapter(),
    ProviderType.ECHO: EchoAdapter(),
}
