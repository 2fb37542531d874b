"""The other gateways that the benchmark can measure beside TokenHub: how to install, start and reach each of them.

Each is one process on one core, in the leanest form that its own documents call fit for production.
"""

from __future__ import annotations

from typing import Final

import orjson

from bench.gateways import Gateway, Route

_KEY: Final = "sk-bench-0123456789abcdef"
_BEARER: Final = {"Authorization": f"Bearer {_KEY}"}
_CLAUDE: Final = "claude-3-5-sonnet-20241022"
_VENV: Final = ("$python", "-m", "venv", "$home/venv")
_PIP: Final = ("$home/venv/bin/pip", "install", "--quiet", "--disable-pip-version-check")
_VERSION: Final = "from importlib.metadata import version; print(version('{}'))"
_OPENAI: Final = "/v1/chat/completions"
_ANTHROPIC: Final = "/v1/messages"


def _dumped(value: object) -> str:
    return orjson.dumps(value).decode()


def _portkey(path: str, provider: str) -> Route:
    headers = {"x-portkey-provider": provider, "x-portkey-custom-host": "$provider/v1", **_BEARER}
    return Route(path, _CLAUDE if provider == "anthropic" else "gpt-4o", headers)


_LITELLM: Final = Gateway(
    install=(_VENV, (*_PIP, "litellm[proxy]")),
    version=("$home/venv/bin/python", "-c", _VERSION.format("litellm")),
    files={
        "litellm.yaml": _dumped(
            {
                "model_list": [
                    {
                        "model_name": "openai-model",
                        "litellm_params": {"model": "openai/gpt-4o", "api_base": "$provider/v1", "api_key": "sk-x"},
                    },
                    {
                        "model_name": "anthropic-model",
                        "litellm_params": {"model": f"anthropic/{_CLAUDE}", "api_base": "$provider", "api_key": "sk-x"},
                    },
                ],
                "general_settings": {"master_key": _KEY},
                # else messages to a provider of OpenAI's format would go to its newer format, /v1/responses
                "litellm_settings": {"use_chat_completions_url_for_anthropic_messages": True, "request_timeout": 600},
            }
        )
    },
    environment={"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    command=(
        *("$home/venv/bin/litellm", "--config", "$folder/litellm.yaml", "--host", "127.0.0.1", "--port", "$port"),
        *("--num_workers", "1"),
    ),
    ready="/health/readiness",
    routes={
        ("openai", "openai"): Route(_OPENAI, "openai-model", _BEARER),
        ("openai", "anthropic"): Route(_OPENAI, "anthropic-model", _BEARER),
        ("anthropic", "openai"): Route(_ANTHROPIC, "openai-model", _BEARER),
        ("anthropic", "anthropic"): Route(_ANTHROPIC, "anthropic-model", _BEARER),
    },
)

_PORTKEY: Final = Gateway(
    # With newer servers every stream of 1.15 ends as 500: https://github.com/Portkey-AI/gateway/issues/1389
    installed_files={
        "package.json": _dumped(
            {
                "dependencies": {"@portkey-ai/gateway": "*"},
                "overrides": {"@hono/node-server": "1.13.7", "@hono/node-ws": "1.0.4"},
            }
        )
    },
    install=(("npm", "install", "--silent", "--no-audit", "--no-fund"),),
    version=("node", "-p", "require('$home/node_modules/@portkey-ai/gateway/package.json').version"),
    environment={"NODE_ENV": "production"},
    command=(
        *("node", "$home/node_modules/@portkey-ai/gateway/build/start-server.js"),
        *("--headless", "--port=$port"),
    ),
    ready="/",
    routes={
        ("openai", "openai"): _portkey(_OPENAI, "openai"),
        ("openai", "anthropic"): _portkey(_OPENAI, "anthropic"),
        ("anthropic", "anthropic"): _portkey(_ANTHROPIC, "anthropic"),
    },
)

_FERROGW: Final = Gateway(
    install=(_VENV, (*_PIP, "ferrogw")),
    version=("$home/venv/bin/python", "-c", _VERSION.format("ferrogw")),
    files={
        "ferrogw.json": _dumped(
            {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "openai"}, {"virtual_key": "anthropic"}]}
        )
    },
    environment={
        "GATEWAY_CONFIG": "$folder/ferrogw.json",
        "GATEWAY_ENV": "production",
        "PORT": "$port",
        "MASTER_KEY": _KEY,
        "RATE_LIMIT_RPS": "0",  # in production it else answers 20 requests a second
        "FERRO_MODEL_CATALOG_TIMEOUT": "0",  # the list of models that is built in, not one from the network
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": "$provider/v1",
        "ANTHROPIC_API_KEY": "sk-x",
        "ANTHROPIC_BASE_URL": "$provider",
    },
    command=("$home/venv/bin/ferrogw", "serve"),
    ready="/readyz",
    routes={
        ("openai", "openai"): Route(_OPENAI, "gpt-4o", _BEARER),
        ("openai", "anthropic"): Route(_OPENAI, _CLAUDE, _BEARER),
    },
)

PEERS: Final = {"litellm": _LITELLM, "portkey": _PORTKEY, "ferrogw": _FERROGW}
