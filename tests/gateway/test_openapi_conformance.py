"""The gateway keeps to its own document, whatever it is sent: good requests and bad ones are made from it."""

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
import schemathesis
from hypothesis import Phase, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.exchange import Policy
from gateway.openapi.document import written
from tests.server import ROOT, Gateway

CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
# Names that there are in the demo configuration: any other leads to 404, whatever else is said.
NAMES: Final = {
    **{
        f"{name}Request": {"model": {"enum": ["echo-1", "auto", "", None]}}
        for name in ("Chat", "Completion", "Response", "Message", "Count")
    },
    "EmbeddingRequest": {"model": {"enum": ["echo-embedding"]}},
    "AdversarialRequest": {"planner": {"enum": ["echo-1", None]}, "critic": {"enum": ["echo-large", None]}},
}
# Parts are tried in all their forms once in each format, where a user says them; these take them in the same way.
SAID_AGAIN: Final = [
    ("ChatToolMessage", "content", "ChatText"),
    ("MessageToolResult", "content", "MessageText"),
    ("ResponseCallOutput", "output", "ResponseInputText"),
]
ROUTED: Final = "/v1/completions"
"""The one endpoint that is tried with what routes a request: it is read in the same way everywhere."""


def narrowed() -> dict[str, Any]:
    """Return the document with the names that there are, and without what routes a request at all endpoints but one."""
    told: dict[str, Any] = orjson.loads(written.get())
    schemas = told["components"]["schemas"]
    for name, names in NAMES.items():
        schemas[name]["properties"] |= names
    for path, methods in told["paths"].items():
        for operation in methods.values():
            if path == ROUTED or "requestBody" not in operation:
                continue
            operation["parameters"] = [each for each in operation["parameters"] if "$ref" not in each]
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            properties = schemas[name]["properties"]
            schemas[name]["properties"] = {
                field: schema for field, schema in properties.items() if field not in Policy.FIELDS
            }
    for name, field, part in SAID_AGAIN:
        schemas[name]["properties"][field]["anyOf"][1]["items"] = {"$ref": f"#/components/schemas/{part}"}
    _, by_the_system = schemas["Message"]["anyOf"]
    schemas["CountRequest"]["properties"]["messages"]["items"] = by_the_system
    schemas["AdversarialRequest"]["properties"]["messages"]["items"] = {"$ref": "#/components/schemas/ChatToolMessage"}
    counted = schemas["CountRequest"]["properties"]
    schemas["CountRequest"]["properties"] = {"messages": counted["messages"], "max_tokens": counted["max_tokens"]}
    return told


SCHEMA: Final = schemathesis.openapi.from_dict(narrowed())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running gateway with the demo configuration."""
    config = orjson.loads((ROOT / "fixtures/config/demo.json").read_bytes())
    with Gateway(tmp_path_factory.mktemp("demo"), config) as running:
        yield running


def no_fault(ctx: schemathesis.CheckContext, answer: schemathesis.Response, case: schemathesis.Case[Any]) -> None:
    """Fail for a fault of the gateway's own; a caller who gives it no time is told that the time is over."""
    is_impatient = answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"
    assert answer.status_code < 500 or is_impatient, answer.text


@SCHEMA.parametrize()
@settings(max_examples=15, derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_it_works(case: schemathesis.Case[Any], demo: Gateway) -> None:
    case.call_and_validate(base_url=demo.url, session=demo.session, checks=[no_fault, *CHECKS])
