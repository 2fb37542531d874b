"""A caller's wishes come as fields of the body or as headers, and a wish that is none is refused by its name."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import policy
from gateway.errors import InvalidRequest
from gateway.exchange import Policy


def test_it_works() -> None:
    body = {"models": ["a", "b"], "max_cost": 0.5, "fallback": False, "temperature": 1}
    headers = {
        "X-TokenHub-Max-Cost": "9",
        "X-TokenHub-Min-Weight": "-1.5",
        "X-TokenHub-Exclude-Providers": "one, two,",
        "X-TokenHub-Timeout-Ms": "1500",
        "X-TokenHub-Strategy": "cheapest",
        "X-TokenHub-Session": "42",
        "X-TokenHub-Explain": "True",
    }
    assert policy.read(body, headers) == Policy(
        models=("a", "b"),
        max_cost=0.5,
        min_weight=-1.5,
        exclude_providers=("one", "two"),
        fallback=False,
        timeout_ms=1500.0,
        strategy="cheapest",
        session="42",
        explain=True,
    )


def test_every_wish_can_be_read() -> None:
    assert set(policy._KINDS) == set(Policy.FIELDS) == {each.name for each in fields(Policy)}


def test_nothing_is_wished_by_null() -> None:
    assert policy.read(dict.fromkeys(Policy.FIELDS), {}) == Policy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", []),
        ("models", "a"),
        ("models", [1]),
        ("models", [""]),
        ("models", ["a"] * 51),
        ("max_cost", -1),
        ("max_cost", True),
        ("max_cost", float("inf")),
        ("min_weight", "5"),
        ("min_weight", float("nan")),
        ("exclude_providers", {}),
        ("fallback", 0),
        ("timeout_ms", 0),
        ("timeout_ms", 86_400_001),
        ("strategy", 5),
        ("session", False),
        ("explain", "yes"),
        ("hedge_ms", -1),
    ],
)
def test_a_wish_that_is_none(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as told:
        policy.read({name: value}, {})
    assert told.value.param in {name, f"{name}[0]"}


def test_a_header_that_is_none() -> None:
    with pytest.raises(InvalidRequest) as told:
        policy.read({}, {"X-TokenHub-Max-Cost": "cheap"})
    assert told.value.param == "X-TokenHub-Max-Cost"


ANYTHING = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)


@given(st.dictionaries(st.sampled_from(Policy.FIELDS), ANYTHING), st.text())
def test_whatever_comes_is_read_or_refused(body: dict[str, Any], header: str) -> None:
    headers = {f"X-TokenHub-{name.replace('_', '-').title()}": header for name in Policy.FIELDS}
    try:
        assert isinstance(policy.read(body, headers), Policy)
    except InvalidRequest as refusal:
        assert refusal.param


@pytest.mark.parametrize("nothing", ["null", "NULL"])
def test_a_header_of_nothing_is_no_limit_either(nothing: str) -> None:
    """Some clients write a missing number like this."""
    with pytest.raises(InvalidRequest):
        policy.read({}, {"X-TokenHub-Max-Cost": nothing})


@pytest.mark.parametrize("session", ["12e5", "1.5", "true", "42", "a, b"])
def test_a_session_is_a_text_whatever_it_looks_like(session: str) -> None:
    assert policy.read({}, {"X-TokenHub-Session": session}).session == session


def test_a_header_that_does_not_exist_is_no_silent_wish() -> None:
    with pytest.raises(InvalidRequest) as refused:
        policy.read({}, {"X-Tokenhub-Max-Csot": "0.01"})
    assert refused.value.param == "X-Tokenhub-Max-Csot"
    assert "X-TokenHub-Max-Cost" in refused.value.message


def test_nobody_may_be_excluded_but_somebody_must_be_named() -> None:
    assert policy.read({"exclude_providers": []}, {}).exclude_providers == ()
    with pytest.raises(InvalidRequest):
        policy.read({"models": []}, {})


def test_headers_of_an_answer_may_come_back() -> None:
    assert policy.read({}, {"X-Tokenhub-Request-Id": "req_1", "Accept": "*/*"}) == Policy()
