"""From the first key on every endpoint asks for one, in the caller's format, and every worker obeys within a second."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import requests

from tests.server import Gateway, model, wait_for

CONFIG: dict[str, Any] = {
    "providers": [{"name": "echo", "type": "echo"}],
    "models": [
        model("small", "echo", weight=90, cost_per_1k=0, aliases=["tiny"]),
        model("large", "echo", weight=80, cost_per_1k=0, context_size=100_000),
        model("vectors", "echo", capabilities=["embedding"], cost_per_1k=0),
    ],
    "aliases": [{"name": "both", "models": ["small", "large"]}],
}
CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "completions": ("/v1/completions", {"prompt": "hello"}),
    "messages": ("/v1/messages", CHAT | {"max_tokens": 9}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "embeddings": ("/v1/embeddings", {"model": "vectors", "input": "hello"}),
    "adversarial": ("/v1/adversarial", {"prompt": "hello"}),
}


KEYS: dict[str, dict[str, list[str]]] = {
    "any": {},
    "short lived": {},
    "by model": {"allowed_models": ["large", "vectors"]},
    "by alias": {"allowed_models": ["both"]},
    **{name: {"scopes": [name]} for name in ENDPOINTS},
}
MAKE = f"""
from accounts import keys
from accounts.models import ApiKey
for name, fields in {KEYS!r}.items():
    key = ApiKey(name=name, **fields)
    print(keys.issue(key))
    key.save()
"""
REVOKE = "from accounts.models import ApiKey; ApiKey.objects.filter(name='short lived').update(enabled=False)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of two workers that has keys."""
    with Gateway(tmp_path_factory.mktemp("keys"), CONFIG, WEB_CONCURRENCY="2") as started:
        assert started.post().status_code == 200  # it is open until there is a key
        assert "no key is needed" in str(requests.get(f"{started.url}/health/ready", timeout=20).json()["notes"])
        yield started


@pytest.fixture(scope="module")
def tokens(running: Gateway) -> dict[str, str]:
    """Keys by their names."""
    made = running.run("shell", "-v0", "-c", MAKE)
    assert made.returncode == 0, made.stderr
    assert wait_for(lambda: all(ask(running, "/v1/models").status_code == 401 for _ in range(8)), 1.0)
    return dict(zip(KEYS, made.stdout.split(), strict=True))


def ask(gateway: Gateway, path: str, body: dict[str, Any] | None = None, *, token: str = "") -> requests.Response:
    """Ask with a key, over a connection of its own so that any worker may answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request("POST" if body else "GET", f"{gateway.url}{path}", json=body, headers=headers, timeout=10)


def test_it_works(running: Gateway, tokens: dict[str, str]) -> None:
    token = tokens["any"]
    answer = ask(running, "/v1/chat/completions", CHAT, token=token)
    assert answer.status_code == 200
    public_id = token.split("_")[1]
    assert running.call_of(answer)["key_id"] == public_id
    assert token.split("_")[2] not in running.log


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.usefixtures("tokens")
def test_every_endpoint_asks_for_a_key(running: Gateway, name: str) -> None:
    answer = ask(running, *ENDPOINTS[name])
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["x-tokenhub-request-id"]
    error = answer.json()["error"]
    if name == "messages":
        assert (answer.json()["type"], error["type"]) == ("error", "authentication_error")
        assert answer.headers["request-id"] == answer.json()["request_id"]
    else:
        assert error["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small"])
@pytest.mark.usefixtures("tokens")
def test_the_list_of_models_asks_for_a_key(running: Gateway, path: str) -> None:
    assert ask(running, path).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer th_000000000000_0"},
        {"Authorization": "Bearer unused"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer"},
        {"x-api-key": ""},
        {"x-api-key": "\xff\xfe"},
        {"Authorization": "Bearer " + "x" * 4000},
    ],
)
@pytest.mark.usefixtures("tokens")
def test_what_is_no_key_is_refused(running: Gateway, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = requests.get(f"{running.url}/v1/models", headers=raw, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_key_is_for_its_scopes(running: Gateway, tokens: dict[str, str], name: str) -> None:
    token = tokens[name]
    for other, (path, body) in ENDPOINTS.items():
        answer = ask(running, path, body, token=token)
        assert answer.status_code == (200 if other == name else 403), (other, answer.text)
    assert ask(running, "/v1/models", token=token).status_code == 200


def test_a_key_sees_its_models_alone(running: Gateway, tokens: dict[str, str]) -> None:
    token = tokens["by model"]
    listed = {row["id"] for row in ask(running, "/v1/models", token=token).json()["data"]}
    assert {"large", "vectors", "both"} <= listed
    assert "small" not in listed
    for named in ("auto", "large", "both"):
        answer = ask(running, "/v1/chat/completions", CHAT | {"model": named}, token=token)
        assert answer.headers["x-tokenhub-model"] == "large"
    for hidden in ("small", "tiny"):
        refused = ask(running, "/v1/chat/completions", CHAT | {"model": hidden}, token=token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert ask(running, f"/v1/models/{hidden}", token=token).status_code == 404
    debate = ask(running, "/v1/adversarial", {"prompt": "hello", "planner": "small"}, token=token)
    assert debate.status_code == 404
    argued = ask(running, "/v1/adversarial", {"prompt": "hello", "explain": True}, token=token)
    assert {tried["model"] for tried in argued.json()["tokenhub"]["attempts"]} == {"large"}


def test_an_alias_brings_its_models_along(running: Gateway, tokens: dict[str, str]) -> None:
    token = tokens["by alias"]
    answer = ask(running, "/v1/chat/completions", CHAT | {"model": "small"}, token=token)
    assert answer.status_code == 200
    assert ask(running, "/v1/models/vectors", token=token).status_code == 404


@pytest.mark.parametrize("is_good", [True, False])
def test_the_official_clients_send_it_their_own_way(running: Gateway, tokens: dict[str, str], *, is_good: bool) -> None:
    token = tokens["any"] if is_good else "th_no_key"
    with (
        openai.OpenAI(base_url=f"{running.url}/v1", api_key=token, max_retries=0) as client,
        nullcontext() if is_good else pytest.raises(openai.AuthenticationError),
    ):
        assert client.models.list().data
    with (
        anthropic.Anthropic(base_url=running.url, api_key=token, max_retries=0) as other,
        nullcontext() if is_good else pytest.raises(anthropic.AuthenticationError),
    ):
        assert other.models.list().data


def test_a_revoked_key_ends_everywhere_within_a_second(running: Gateway, tokens: dict[str, str]) -> None:
    seen: list[tuple[float, int]] = []
    stopped = threading.Event()

    def keep_asking() -> None:
        while not stopped.is_set():
            asked_at = time.monotonic()
            seen.append((asked_at, ask(running, "/v1/models", token=tokens["short lived"]).status_code))

    askers = [threading.Thread(target=keep_asking) for _ in range(2)]
    for asker in askers:
        asker.start()
    revoked = running.run("shell", "-v0", "-c", REVOKE)
    over = time.monotonic()
    time.sleep(1.5)
    stopped.set()
    for asker in askers:
        asker.join()
    assert revoked.returncode == 0, revoked.stderr
    assert seen[0][1] == 200
    assert {status for at, status in seen if at > over + 1} == {401}


@pytest.mark.usefixtures("tokens")
def test_probes_and_what_does_not_exist_need_none(running: Gateway) -> None:
    assert ask(running, "/health").status_code == 200
    assert ask(running, "/v1/unknown").status_code == 404


def test_known_keys_are_served_while_new_ones_cannot_be_read(tmp_path: Path) -> None:
    def status(key: str) -> int:
        return ask(lonely, "/v1/chat/completions", CHAT, token=key).status_code

    def rename(before: str, after: str) -> None:
        with closing(sqlite3.connect(tmp_path / "var" / "tokenhub.sqlite3", timeout=10)) as database:
            database.execute(f"ALTER TABLE {before} RENAME TO {after}")

    new = "th_0123456789ab_0"
    with Gateway(tmp_path, CONFIG) as lonely:
        token = lonely.key()
        assert (status(token), status(new)) == (200, 401)
        rename("accounts_accountsstamp", "away")
        assert wait_for(lambda: status(new) == 503)
        assert status(token) == 200
        refused = ask(lonely, "/v1/messages", CHAT | {"max_tokens": 9}, token=new)
        assert (refused.json()["error"]["type"], refused.headers["Retry-After"]) == ("overloaded_error", "1")
        rename("away", "accounts_accountsstamp")
        assert wait_for(lambda: status(new) == 401)


@pytest.mark.parametrize(("required", "status"), [("true", 401), ("false", 200)])
def test_the_settings_may_decide(tmp_path: Path, required: str, status: int) -> None:
    with Gateway(tmp_path, CONFIG, TOKENHUB_REQUIRE_KEY=required) as decided:
        assert ask(decided, "/v1/chat/completions", CHAT).status_code == status
        token = decided.key()
        assert ask(decided, "/v1/chat/completions", CHAT, token=token).status_code == 200
        assert ask(decided, "/v1/chat/completions", CHAT).status_code == status
        assert ask(decided, "/v1/chat/completions", CHAT, token="sk-anything").status_code == status
        assert ask(decided, "/v1/chat/completions", CHAT, token="th_0123456789ab_0").status_code == 401
