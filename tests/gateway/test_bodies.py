"""Bodies are refused when they are not what they must be, and written again without loss when they are."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.wire import bodies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_it_works() -> None:
    raw = b'{"model": "m", "messages": [], "x": 1}'
    body = bodies.parse(raw, max_depth=10)
    head, rest = bodies.split(raw, body, ["model", "stream"])
    assert head == {"model": "m"}
    assert orjson.loads(bodies.join({"model": "other"}, rest)) == {"model": "other", "messages": [], "x": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \n",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": 1e999}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"a":' * 1_100 + b"1" + b"}" * 1_100,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' + b"[" * 101 + b"]" * 101 + b"}",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        bodies.parse(raw, max_depth=100)


def test_the_deepest_allowed_body_passes() -> None:
    raw = b'{"a":' + b"[" * 99 + b"1" * 1 + b"]" * 99 + b"}"
    assert bodies.parse(raw, max_depth=100)


def test_many_shallow_objects_are_not_deep() -> None:
    raw = b'{"a":[' + b",".join([b"{}"] * 500) + b"]}"
    assert len(bodies.parse(raw, max_depth=100)["a"]) == 500


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"model": "a", "model": "b"}', "model"),
        (b'{"x": {"y": 1, "z": 2, "y": 3}}', "y"),
        (b'{"x": "\\u003a", "y": 1, "y": 2}', "y"),
        (b'{"x": "\\u003A\\u003a", "y": 1, "y": 2, "y": 3}', "y"),
        (b'{"x": [{"k": "a:b", "k": 1}]}', "k"),
    ],
)
def test_a_repeated_field_is_refused(raw: bytes, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}'"):
        bodies.split(raw, bodies.parse(raw, max_depth=10), ["model"])


def test_many_names_are_compared_in_one_pass() -> None:
    names = b",".join(b'"n%d":1' % number for number in range(100_000))
    raw = b'{"x":"\\u003a",' + names + b',"n5":2}'
    with pytest.raises(InvalidRequest, match="'n5'"):
        bodies.split(raw, bodies.parse(raw, max_depth=10), ["model"])


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6), st.sets(st.text(max_size=3))
)
def test_split_and_join_lose_nothing(body: dict[str, Any], names: set[str]) -> None:
    raw = orjson.dumps(body, option=orjson.OPT_INDENT_2)
    head, rest = bodies.split(raw, bodies.parse(raw, max_depth=200), names)
    assert orjson.loads(bodies.join(head, rest)) == body


NUMBERS = [b"18446744073709551616", b"-98765432109876543210", b"1e2", b"1.50", b"1E-7", b"0.1234567890123456789012"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("blank", [b"", b" ", b"\n  "])
@pytest.mark.parametrize("text", [b'"x"', b'"\\u00e9"'])
def test_numbers_go_out_as_they_came(number: bytes, blank: bytes, text: bytes) -> None:
    raw = b'{"t":%b,"model":"m","x":%b[{"y":%b%b}],"z":%b%b}' % (text, blank, blank, number, blank, number)
    head, rest = bodies.split(raw, bodies.parse(raw, max_depth=10), ["model"])
    assert head == {"model": "m"}
    assert b'"x":[{"y":%b}],"z":%b}' % (number, number) in rest


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6), st.booleans())
def test_however_a_client_writes_its_body_it_is_the_same(body: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    assert bodies.split(raw, bodies.parse(raw, max_depth=200), ["model"]) == bodies.split(
        orjson.dumps(body), body, ["model"]
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_every_number_is_kept(number: float, digits: int) -> None:
    told = f"{number:.{digits}f}".replace("-0", "0").encode()
    raw = b'{"x": %b}' % told
    assert bodies.split(raw, bodies.parse(raw, max_depth=9), [])[1] == b'{"x":%b}' % told
