"""A gateway runs as a user would start it, speaks to a scripted provider, and ends without a trace."""

import openai
import pytest
import requests

from tests.running import config_of, running_gateway
from tests.scripted import ScriptedProvider
from tests.scripted_script import Tokens


def test_it_works() -> None:
    with ScriptedProvider() as provider:
        with running_gateway(config_of({"alpha": provider.url, "beta": provider.url})) as gateway:
            folder = gateway.folder
            client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=10)
            whole = client.chat.completions.create(model="alpha", messages=[{"role": "user", "content": "hello"}])
            assert whole.choices[0].message.content == "Hello from here"
            stream = client.chat.completions.create(
                model="alpha", messages=[{"role": "user", "content": "hello"}], stream=True
            )
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello from here"
            assert provider.counted == Tokens(14, 6)
            assert {received.path for received in provider.requests} == {"/v1/chat/completions"}
            client.close()
        provider.wait_until(lambda: provider.open_connections == 0)
    assert not folder.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{gateway.url}/health", timeout=5)


def test_what_keeps_it_from_starting_is_told() -> None:
    config = config_of({"alpha": "http://127.0.0.1:9"}, type="no-such-type")
    with pytest.raises(AssertionError, match="no-such-type"), running_gateway(config):
        pass
