"""A hidden text shows itself to `reveal` and to nothing else."""

import json
import logging
import pickle
import traceback
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto import Hidden

CANARY = "sk-canary-0123456789"
HIDDEN = Hidden(CANARY)

SHOWN: dict[str, Callable[[], str]] = {
    "repr": lambda: repr(HIDDEN),
    "str": lambda: str(HIDDEN),
    "format": lambda: "{}".format(HIDDEN),  # noqa: UP032 - the very thing that is tried
    "f-string": lambda: f"{HIDDEN}",
    "padded": lambda: f"{HIDDEN:>30}",
    "debugging": lambda: f"{HIDDEN=}",
    "percent": lambda: "%s %r" % (HIDDEN, HIDDEN),  # noqa: UP031 - the very thing that is tried
    "in a list": lambda: str([HIDDEN]),
    "in a dict": lambda: repr({"key": HIDDEN}),
    "json by str": lambda: json.dumps({"key": HIDDEN}, default=str),
    "orjson by str": lambda: orjson.dumps({"key": HIDDEN}, default=str).decode(),
    "exception": lambda: "".join(traceback.format_exception(ValueError(HIDDEN))),
}


def test_it_works() -> None:
    assert HIDDEN.reveal() == CANARY


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_it_is_not_shown(show: Callable[[], str]) -> None:
    assert "canary" not in show()
    assert "••••" in show() or "\\u2022" in show()


def test_it_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tests").error("key %s %r", HIDDEN, HIDDEN, extra={"key": HIDDEN})
    assert "key •••• ••••" in caplog.text
    assert "canary" not in caplog.text + repr(vars(caplog.records[0]))


@pytest.mark.parametrize("dump", [pickle.dumps, json.dumps, orjson.dumps])
def test_it_is_not_dumped(dump: Callable[[Hidden], bytes]) -> None:
    with pytest.raises(TypeError) as refusal:
        dump(HIDDEN)
    assert "canary" not in str(refusal.value)


def test_it_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(HIDDEN)


@given(st.text(), st.text())
def test_it_is_equal_by_value(one: str, other: str) -> None:
    assert (Hidden(one) == Hidden(other)) == (one == other)
    assert Hidden(one) == Hidden(one)
    assert hash(Hidden(one)) == hash(Hidden(one))
    assert bool(Hidden(one)) == bool(one)
    assert Hidden(one) != one


def test_half_a_character_is_compared() -> None:
    assert Hidden("\ud800") != Hidden("\ud801")
