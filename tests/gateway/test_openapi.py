"""The OpenAPI document: valid, complete, and no other than the code; and the page that shows it."""

import inspect
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

import orjson
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from accounts.limits import REQUESTS, TOKENS, Room, Verdict
from gateway import errors, journal, policy, throttling
from gateway.errors import GatewayError, InvalidRequest
from gateway.exchange import Attempt, Call, Decision, Policy
from gateway.openapi import refusals, routing
from gateway.openapi.document import HEADERS, document, written
from gateway.openapi.endpoints import ENDPOINTS, Endpoint
from gateway.urls import urlpatterns
from tests.server import ROOT, Gateway

DOCUMENT: Final[dict[str, Any]] = orjson.loads(written.get())
OF_OTHERS: Final = {"x-should-retry", "x-tokenhub-idempotent-replay"}
OPERATIONS: Final = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running gateway with the demo configuration."""
    config = orjson.loads((ROOT / "fixtures/config/demo.json").read_bytes())
    with Gateway(tmp_path_factory.mktemp("demo"), config) as running:
        yield running


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def get(demo: Gateway, path: str, **headers: str) -> requests.Response:
    return demo.session.get(f"{demo.url}{path}", headers=headers, timeout=10)


def booked(demo: Gateway) -> str:
    """Return the id of a call that has ended."""
    return demo.post().headers["x-tokenhub-request-id"]


def references(told: Any) -> Iterator[str]:
    """Yield what is referred to anywhere in a value."""
    inner = told.values() if isinstance(told, dict) else told if isinstance(told, list) else ()
    if isinstance(told, dict) and isinstance(told.get("$ref"), str):
        yield told["$ref"]
    for each in inner:
        yield from references(each)


def test_it_works(demo: Gateway) -> None:
    answer = get(demo, "/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT == orjson.loads(orjson.dumps(document()))


def test_it_is_valid() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        validator(schema)


def test_all_that_is_referred_to_is_there_and_the_other_way_round() -> None:
    linked = {kind: named for kind, named in DOCUMENT["components"].items() if kind != "securitySchemes"}
    assert set(references(DOCUMENT)) == {
        f"#/components/{kind}/{name}" for kind, named in linked.items() for name in named
    }
    schemes = {name for each in DOCUMENT["security"] for name in each}
    assert schemes == set(DOCUMENT["components"]["securitySchemes"])


def test_every_address_is_described_and_the_other_way_round() -> None:
    named = [pattern for pattern in urlpatterns if pattern.name]
    routes = {pattern.name: f"/{pattern.pattern}" for pattern in named if pattern.name != "test-model"}
    told = {name: re.sub(r"<\w+:(\w+)>", r"{\1}", route) for name, route in routes.items()}
    assert told == {endpoint.name: endpoint.path for endpoint in ENDPOINTS}


def test_every_error_is_told_of() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)}
    told = {kind for endpoint in ENDPOINTS for kind in (*refusals.GATE, *endpoint.refusals)}
    relayed = {kind for kind in kinds if issubclass(kind, errors.Rejected)}
    assert kinds - relayed - {GatewayError, errors.CallerError} == told
    assert all("4XX" in operation["responses"] for path, _, operation in OPERATIONS if path == "/v1/chat/completions")


def test_every_header_of_an_answer_is_told_of() -> None:
    attempt = Attempt("m", "p", dropped=("n",), cost_micro=1, upstream={"x-tokenhub-upstream-request-id": "1"})
    call = Call("req_1", "POST /v1/x", 0.0, decisions=[Decision(1, 1, [], [])], attempts=[attempt])
    room = Room(1, 1, 1.0)
    call.room = throttling.headers(Verdict(rooms={REQUESTS: room, TOKENS: room}))
    ours = {name for name in HEADERS if name.startswith("x-") and name not in OF_OTHERS}
    assert set(journal.headers(call)) == ours


@pytest.mark.parametrize("name", Policy.FIELDS)
@given(data=st.data())
def test_what_routes_a_request_is_described_as_it_is_read(name: str, data: st.DataObject) -> None:
    values = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-10, 10**9),
        st.floats(-1, 1e9, allow_nan=False),
        st.text(max_size=201),
        st.lists(st.text(max_size=3), max_size=51),
        st.sampled_from([86_400_000, 86_400_001, "a" * 200, "a" * 201, ["a"] * 50, ["a"] * 51, [None], {}]),
    )
    value = data.draw(values)
    if name == "strategy" and isinstance(value, str):
        return  # which there are is the router's to say
    try:
        policy.read({name: value}, {})
    except InvalidRequest:
        is_read = False
    else:
        is_read = True
    assert validator({**routing.FIELDS[name]}).is_valid(value) == (is_read and value is not None)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda value: str(value)[:40])
def test_every_endpoint_answers_its_example(demo: Gateway, path: str, method: str, operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    where = path.replace("{name}", "echo-1").replace("{request_id}", booked(demo))
    answer = demo.session.request(method, f"{demo.url}{where}", json=content.get("example"), timeout=10)
    assert answer.status_code == 200
    told = operation["responses"]["200"]
    assert {name for name in HEADERS if name in answer.headers} <= set(told.get("headers", ()))
    kind = answer.headers["content-type"]
    if kind == "application/json":
        validator(told["content"][kind]["schema"]).validate(answer.json())
        if content:
            validator(content["schema"]).validate(content["example"])
    else:
        assert kind in told["content"]


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.events], ids=lambda endpoint: endpoint.name)
def test_every_event_is_told_of(demo: Gateway, endpoint: Endpoint) -> None:
    operation = DOCUMENT["paths"][endpoint.path]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    answer = demo.session.post(f"{demo.url}{endpoint.path}", json={**example, "stream": True}, timeout=10)
    events = [part for part in answer.text.split("\n\n") if part and not part.startswith(":")]
    known = {name for name, _ in endpoint.events}
    schemas = {name: [schema for each, schema in endpoint.events if each == name] for name in known}
    assert len(events) > 2
    for event in events:
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        data = fields["data"] if fields["data"] == "[DONE]" else orjson.loads(fields["data"])
        allowed = schemas[fields.get("event", "")]
        assert any(validator({**schema}).is_valid(data) for schema in allowed), event


class Page(HTMLParser):
    """What a page is made of: its ids, where it leads, and what it brings in from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]


def test_the_page_shows_every_endpoint(demo: Gateway) -> None:
    answer = get(demo, "/v1/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    for endpoint in ENDPOINTS:
        assert endpoint.name in page.all("id")
        assert endpoint.path in answer.text
        assert answer.text.count(f'href="#{endpoint.name}"') == 1
    assert set(page.all("id")) >= set(DOCUMENT["components"]["schemas"])


def test_the_page_needs_nothing_from_elsewhere(demo: Gateway) -> None:
    answer = get(demo, "/v1/docs")
    page = Page(answer.text)
    assert not page.all("src")
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "img", "object"} == set()
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    targets = page.all("href")
    assert {target for target in targets if not target.startswith("#")} == {"/v1/openapi.json"}
    assert {target[1:] for target in targets if target.startswith("#")} <= set(page.all("id"))
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_commands_on_the_page_work(demo: Gateway) -> None:
    page = requests.get(f"{demo.url}/v1/docs", timeout=10).text
    commands = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
    assert len(commands) == len(ENDPOINTS)
    for command in commands:
        told = command.replace("&quot;", '"').replace("&#x27;", "'").replace("\\\n", "")
        words = shlex.split(told.replace("http://localhost:8080", demo.url).replace("req_0", booked(demo)))
        data = words[words.index("-d") + 1] if "-d" in words else None
        answer = requests.request("POST" if data else "GET", words[1], data=data, timeout=10)
        assert answer.status_code == 200, told


def test_a_page_of_another_site_may_lead_here_and_nowhere_else(demo: Gateway) -> None:
    for path, status in (("/v1/docs", 200), ("/v1/openapi.json", 200), ("/v1/models", 403)):
        assert get(demo, path, **{"Sec-Fetch-Site": "cross-site"}).status_code == status
