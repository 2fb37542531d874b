"""A prompt's size is told from its text: about right for English, on the safe side elsewhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens


def test_it_works() -> None:
    assert tokens.estimate({"messages": [{"role": "user", "content": "a" * 400}]}) == 104


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本語", 3), ("日本 go", 3), ("é" * 10, 10)],
)
def test_of_text(text: str, count: int) -> None:
    assert tokens.of_text(text) == count


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 0),
        ({"messages": ["odd"]}, 4),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 40}]}]}, 4 + 11),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}}]}
                ]
            },
            4 + 765,
        ),
        ({"messages": [{"role": "user", "content": None, "n": 5}]}, 4),
        ({"tools": [{"a": "b" * 8}]}, 5),
    ],
)
def test_parts(body: dict[str, Any], count: int) -> None:
    assert tokens.estimate(body) == count


@given(st.text(), st.text())
def test_longer_is_never_less(start: str, end: str) -> None:
    assert tokens.of_text(start) <= tokens.of_text(start + end)
