"""A configuration file is read without Django, and the examples of the documentation are files that ship."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from registry.config import Config, ConfigInvalid, default_config, read
from vault.crypto import Hidden

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures" / "config"

BASIC = """{
  "server": {
    "host": "0.0.0.0",
    "port": 8080
  },
  "vault": {
    "encryption_key_env": "TOKENHUB_ENCRYPTION_KEY"
  },
  "providers": [
    {
      "name": "openai",
      "type": "openai",
      "api_key_env": "OPENAI_API_KEY"
    }
  ],
  "models": [
    {
      "id": "gpt-3.5-turbo",
      "provider": "openai",
      "name": "gpt-3.5-turbo",
      "weight": 80,
      "cost_per_1k": 0.002,
      "context_size": 4096,
      "capabilities": ["chat", "completion"]
    }
  ]
}
"""

MULTI_PROVIDER = """{
  "server": {
    "host": "0.0.0.0",
    "port": 8080
  },
  "vault": {
    "encryption_key_env": "TOKENHUB_ENCRYPTION_KEY"
  },
  "providers": [
    {
      "name": "openai",
      "type": "openai",
      "api_key_env": "OPENAI_API_KEY"
    },
    {
      "name": "anthropic",
      "type": "anthropic",
      "api_key_env": "ANTHROPIC_API_KEY"
    },
    {
      "name": "vllm-local",
      "type": "vllm",
      "base_url": "http://localhost:8000"
    }
  ],
  "models": [
    {
      "id": "gpt-4",
      "provider": "openai",
      "name": "gpt-4",
      "weight": 90,
      "cost_per_1k": 0.03,
      "context_size": 8192,
      "capabilities": ["chat", "completion"]
    },
    {
      "id": "claude-2",
      "provider": "anthropic",
      "name": "claude-2",
      "weight": 85,
      "cost_per_1k": 0.01,
      "context_size": 100000,
      "capabilities": ["chat", "completion"]
    },
    {
      "id": "llama-local",
      "provider": "vllm-local",
      "name": "meta-llama/Llama-2-70b-chat-hf",
      "weight": 70,
      "cost_per_1k": 0.0,
      "context_size": 4096,
      "capabilities": ["chat", "completion"]
    }
  ]
}
"""


def test_it_works() -> None:
    config = read(BASIC)
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8080)
    assert config.vault.encryption_key_env == "TOKENHUB_ENCRYPTION_KEY"
    (provider,), (model,) = config.providers, config.models
    assert provider.given == {"name": "openai", "type": "openai", "api_key_env": "OPENAI_API_KEY"}
    assert model.name == "gpt-3.5-turbo"
    assert model.given["cost_per_1k"] == Decimal("0.002")


def test_several_providers() -> None:
    config = read(MULTI_PROVIDER)
    assert [provider.name for provider in config.providers] == ["openai", "anthropic", "vllm-local"]
    assert [model.given["provider"] for model in config.models] == ["openai", "anthropic", "vllm-local"]
    assert config.models[2].given["name"] == "meta-llama/Llama-2-70b-chat-hf"


@pytest.mark.parametrize(("file", "text"), [("basic.json", BASIC), ("multi-provider.json", MULTI_PROVIDER)])
def test_the_shipped_files_are_the_examples(file: str, text: str) -> None:
    assert (FIXTURES / file).read_text() == text


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.json")), ids=lambda file: file.name)
def test_every_shipped_file_is_read(file: Path) -> None:
    assert read(file).models


def test_the_default_has_the_models_of_the_examples() -> None:
    examples = {entry["id"]: entry for text in (BASIC, MULTI_PROVIDER) for entry in json.loads(text)["models"]}
    default = json.loads((FIXTURES / "default.json").read_text())
    assert [entry["id"] for entry in default["models"]] == ["gpt-4", "gpt-3.5-turbo", "claude-2"]
    assert all(entry == examples[entry["id"]] for entry in default["models"])
    assert [provider.name for provider in default_config().providers] == ["openai", "anthropic"]


def test_what_is_left_out_has_a_default() -> None:
    assert read("{}") == Config()
    config = read(
        '{"providers": [{"name": "e", "type": "echo"}], "models": [{"id": "m", "provider": "e", "context_size": 1}]}'
    )
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8080)
    assert config.models[0].given["name"] == "m"


def test_a_key_is_hidden_as_soon_as_it_is_read() -> None:
    config = read('{"providers": [{"name": "openai", "type": "openai", "api_key": "sk-canary"}]}')
    assert config.providers[0].given["api_key"] == Hidden("sk-canary")
    assert "canary" not in repr(config)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(BASIC, encoding="utf-8-sig")
    assert read(file) == read(BASIC)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="No such file"):
        read(tmp_path / "missing.json")
    (tmp_path / "latin.json").write_bytes(b'{"providers": "\xe4"}')
    with pytest.raises(ConfigInvalid, match="not UTF-8: byte 15"):
        read(tmp_path / "latin.json")


def test_reading_needs_no_django() -> None:
    program = (
        "import sys; from registry import config; "
        "assert config.default_config().server.port == 8080; "
        "assert not any(name.partition('.')[0] == 'django' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={}, check=True)
