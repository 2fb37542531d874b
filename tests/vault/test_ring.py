"""A ring is read from the environment; what is wrong with it is said without showing any of it."""

import base64
from pathlib import Path
from typing import Any

import pytest

from vault.crypto import KeyProblem, Ring, generate_key, ring_from_environment
from vault.ring import get_ring

A, B = generate_key(), generate_key()
SHORT = base64.b64encode(b"\xaa" * 31).decode()
LONG = base64.b64encode(b"\xaa" * 33).decode()

MALFORMED = {
    "31 bytes": (SHORT, "it has 31 bytes instead of 32"),
    "33 bytes": (LONG, "it has 33 bytes instead of 32"),
    "no base64": ("this is not base64!", "it is not base64"),
    "not ASCII": ("schlüssel" * 5, "it is not base64"),
    "a line break within": (A[:20] + "\n" + A[20:], "it is not base64"),
    "cut": (A[:-2], "it is not base64"),
    "hexadecimal": ("ab" * 32, "it has 48 bytes instead of 32"),
    "trailing comma": (f"{A},", "key 2 of 2 is empty"),
    "leading comma": (f",{A}", "key 1 of 2 is empty"),
    "empty part": (f"{A}, ,{B}", "key 2 of 3 is empty"),
    "comma alone": (",", "key 1 of 2 is empty"),
    "third is short": (f"{A},{B},{SHORT}", "key 3 of 3 has 31 bytes instead of 32"),
    "twice the same": (f"{A},{A}", "it names the same key twice"),
}


def test_it_works() -> None:
    ring = ring_from_environment({"TOKENHUB_ENCRYPTION_KEY": f"{A},{B}"})
    assert ring == Ring.parse(f" {A} , {B}\n")
    assert [len(key_id) for key_id in ring.ids] == [8, 8]


@pytest.mark.parametrize(("text", "fault"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_key_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeyProblem) as by_variable:
        ring_from_environment({"TOKENHUB_ENCRYPTION_KEY": text})
    assert str(by_variable.value) == f"TOKENHUB_ENCRYPTION_KEY does not hold a key: {fault}."
    with pytest.raises(KeyProblem, match="the file named by TOKENHUB_ENCRYPTION_KEY_FILE") as by_file:
        ring_from_environment({"TOKENHUB_ENCRYPTION_KEY_FILE": str(file)})
    for part in {part.strip() for part in text.split(",")} - {""}:
        assert part[:12] not in f"{by_variable.value} {by_file.value}"
    assert by_variable.value.__cause__ is None


@pytest.mark.parametrize("environ", [{}, {"TOKENHUB_ENCRYPTION_KEY": " \n"}, {"TOKENHUB_ENCRYPTION_KEY_FILE": ""}])
def test_a_missing_key_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(KeyProblem, match=r"TOKENHUB_ENCRYPTION_KEY is not set.*-generate-key"):
        ring_from_environment(environ)


def test_a_key_in_a_variable_of_ones_own_is_told_by_its_name() -> None:
    with pytest.raises(KeyProblem, match=r"^HUB_KEY is not set"):
        ring_from_environment({"TOKENHUB_KEY_VARIABLE": "HUB_KEY", "TOKENHUB_ENCRYPTION_KEY": ""})


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{A}\n")
    assert ring_from_environment({"TOKENHUB_ENCRYPTION_KEY_FILE": str(file)}) == Ring.parse(A)


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    environ = {"TOKENHUB_ENCRYPTION_KEY": A, "TOKENHUB_ENCRYPTION_KEY_FILE": str(tmp_path / "missing")}
    assert ring_from_environment(environ) == Ring.parse(A)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="TOKENHUB_ENCRYPTION_KEY_FILE cannot be read"):
        ring_from_environment({"TOKENHUB_ENCRYPTION_KEY_FILE": str(tmp_path / name)})


def test_both_alphabets_of_base64_are_one_key() -> None:
    raw = b"\xfb\xff" * 16
    assert Ring.parse(base64.b64encode(raw).decode()) == Ring.parse(base64.urlsafe_b64encode(raw).decode())


def test_the_process_has_the_ring_of_its_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKENHUB_KEY_RING = Ring.parse(B)
    assert get_ring() == Ring.parse(B)
    settings.TOKENHUB_KEY_RING = None
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    with pytest.raises(KeyProblem, match="is not set"):
        get_ring()
