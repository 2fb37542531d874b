"""`manage.py route` shows a decision that a person can read, and sends nothing."""

import io
import re
from pathlib import Path

import orjson
import pytest
from django.core.management import CommandError, call_command

from registry.board import Board
from registry.cooling import Reason
from registry.models import Model, Provider
from registry.snapshot import keeper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _rows() -> None:
    echo = Provider.objects.create(name="echo", type="echo")
    Model.objects.create(public_id="good", name="g", provider=echo, weight=80, cost_per_1k="0.5", context_size=8192)
    Model.objects.create(public_id="small", name="s", provider=echo, weight=90, context_size=20)
    Model.objects.create(public_id="off", name="o", provider=echo, weight=99, context_size=8192, enabled=False)


def shown(*arguments: str) -> list[list[str]]:
    """What the command prints, line by line and cell by cell."""
    out = io.StringIO()
    call_command("route", *arguments, stdout=out)
    return [[cell for cell in line.split("  ") if cell] for line in out.getvalue().splitlines()]


def cells(line: list[str]) -> list[str]:
    return [cell.strip() for cell in line]


def test_it_works() -> None:
    told = [cells(line) for line in shown("--prompt", "x" * 300)]
    assert told[2] == ["model", "provider", "strategy", "score", "of it weight", "of it cost", "need"]
    assert told[3][:7] == ["1", "good", "echo", "score", "75", "80", "-5"]
    assert ["off", "disabled"] in told
    assert any(line[0] == "small" and line[1].startswith("context too small") for line in told[4:] if line)


def test_a_body_and_headers(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(orjson.dumps({"prompt": "hi", "max_tokens": 5, "strategy": "cheapest"}))
    told = [cells(line) for line in shown("--body", str(body), "--endpoint", "completions")]
    assert [line[1] for line in told[3:5]] == ["small", "good"]
    told = [
        cells(line)
        for line in shown("--prompt", "hi", "--endpoint", "completions", "--header", "X-TokenHub-Max-Cost=0.1")
    ]
    assert ["good", "costs more than 0.1 per 1k"] in told


def test_a_header_in_any_case_and_none_that_does_not_exist() -> None:
    assert ["good", "costs more than 0.1 per 1k"] in [
        cells(line) for line in shown("--prompt", "hi", "--header", "x-tokenhub-max-cost=0.1")
    ]
    with pytest.raises(CommandError, match="There is no header"):
        shown("--prompt", "hi", "--header", "X-TokenHub-Max=0.1")


def test_nobody_can_serve_is_a_decision_too() -> None:
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("route", "--prompt", "hi", "--header", "X-TokenHub-Min-Weight=95", stdout=out)
    assert ["good", "weighs less than 95.0"] in [re.split(r"\s{2,}", line) for line in out.getvalue().splitlines()]


def test_nobody_can_serve() -> None:
    with pytest.raises(CommandError, match="does not exist"):
        shown("--prompt", "hi", "--model", "nobody")
    with pytest.raises(CommandError, match="off: disabled"):
        shown("--prompt", "hi", "--header", "X-TokenHub-Min-Weight=95")


@pytest.mark.parametrize(
    ("endpoint", "first"), [("messages", "good"), ("responses", "good"), ("embeddings", "vectors")]
)
def test_other_endpoints(endpoint: str, first: str) -> None:
    at = Provider.objects.get(name="echo")
    Model.objects.create(public_id="vectors", name="v", provider=at, context_size=100, capabilities=["embedding"])
    named = ["--model", "vectors"] if endpoint == "embeddings" else []
    told = [cells(line) for line in shown("--prompt", "x" * 300, "--endpoint", endpoint, *named)]
    assert told[3][1] == first


def test_what_the_workers_let_cool_is_left_out() -> None:
    facts = next(each for each in keeper.current().models if each.id == "good")
    elsewhere = Board()
    elsewhere.say(Reason.RATE_LIMIT, facts, seconds=60, until=elsewhere.clock() + 60)
    elsewhere.exchange()
    told = [cells(line) for line in shown("--prompt", "hi")]
    (reason,) = [line[1] for line in told if line and line[0] == "good"]
    assert reason.endswith("(rate_limit)")


def test_a_flow_has_no_route_of_its_own() -> None:
    with pytest.raises(CommandError, match="A flow asks several times"):
        shown("--prompt", "hi", "--model", "tokenhub/refine")
