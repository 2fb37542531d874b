"""Fields are taken out of a body by their paths, and what is not among them stays as it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import omission

PATHS = ("a", "b.c", "b.d.e", "l[].n", "l[].o.p", "a.b[].c")
NAMES = st.sampled_from("abcdelnop")
BODIES = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
)


def test_it_works() -> None:
    body = {"seed": 1, "stream_options": {"include_usage": True, "x": 1}, "messages": [{"name": "Ann", "role": "user"}]}
    paths = ("seed", "stream_options.include_usage", "messages[].name", "user")
    assert omission.without(body, paths) == {"stream_options": {"x": 1}, "messages": [{"role": "user"}]}
    assert omission.present(body, paths) == ("seed", "stream_options.include_usage", "messages[].name")


@pytest.mark.parametrize(
    ("body", "path", "left", "stood"),
    [
        ({"a": None}, "a", {}, False),
        ({"a": {"b": 1}}, "a.b", {}, True),
        ({"a": {}}, "a.b", {"a": {}}, False),
        ({"a": 1}, "a.b", {"a": 1}, False),
        ({"a": [1, {"b": 1}]}, "a.b", {"a": [1, {"b": 1}]}, False),
        ({"a": [1, {"b": 1}, {"c": 2}]}, "a[].b", {"a": [1, {}, {"c": 2}]}, True),
        ({"a": {"b": 1}}, "a[].b", {"a": {"b": 1}}, False),
        ({"a": "b"}, "a[].b", {"a": "b"}, False),
    ],
)
def test_shapes(body: dict[str, Any], path: str, left: dict[str, Any], stood: bool) -> None:
    assert omission.without(body, [path]) == left
    assert bool(omission.present(body, [path])) is stood


@given(BODIES, st.lists(st.sampled_from(PATHS)))
def test_nothing_is_present_afterwards_and_nothing_else_is_touched(body: dict[str, Any], paths: list[str]) -> None:
    before = repr(body)
    left = omission.without(body, paths)
    assert omission.present(left, paths) == ()
    assert repr(body) == before
    assert omission.without(left, paths) is left
