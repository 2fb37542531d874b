"""A text is sealed and opened in its place, under its key, unaltered, and in no other way."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.rows import a_ring
from vault.crypto import Ring, Unopenable, generate_key, is_sealed, sealed_under

RING = a_ring(size=2)
HERE = "vault.secret|1|value"
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_it_works() -> None:
    sealed = RING.seal("sk-team", context=HERE)
    assert "sk-team" not in sealed
    assert RING.open(sealed, context=HERE) == "sk-team"


@given(texts, texts)
def test_what_was_sealed_opens(plain: str, context: str) -> None:
    sealed = RING.seal(plain, context=context)
    assert RING.open(sealed, context=context) == plain
    assert sealed_under(sealed) == RING.primary
    assert is_sealed(sealed)


@given(texts, texts, texts)
def test_it_opens_in_no_other_place(plain: str, context: str, other: str) -> None:
    sealed = RING.seal(plain, context=context)
    if other != context:
        with pytest.raises(Unopenable, match="altered, or sealed for another place"):
            RING.open(sealed, context=other)


@given(st.data())
def test_no_character_can_be_altered(data: st.DataObject) -> None:
    sealed = RING.seal("sk-team", context=HERE)
    at = data.draw(st.integers(0, len(sealed) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda drawn: drawn != sealed[at]))
    with pytest.raises(Unopenable):
        RING.open(sealed[:at] + character + sealed[at + 1 :], context=HERE)


@given(st.data())
def test_no_byte_can_be_altered(data: st.DataObject) -> None:
    head, _, payload = RING.seal("sk-team", context=HERE).rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(payload))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unopenable, match="altered"):
        RING.open(f"{head}.{base64.urlsafe_b64encode(raw).decode()}", context=HERE)


def test_it_cannot_be_cut() -> None:
    sealed = RING.seal("sk-team", context=HERE)
    for length in range(len(sealed)):
        with pytest.raises(Unopenable):
            RING.open(sealed[:length], context=HERE)


def test_the_key_it_names_cannot_be_swapped() -> None:
    sealed = RING.seal("sk-team", context=HERE)
    with pytest.raises(Unopenable, match="altered"):
        RING.open(sealed.replace(RING.ids[0], RING.ids[1]), context=HERE)


def test_a_key_that_the_ring_lacks_is_named() -> None:
    other = a_ring()
    with pytest.raises(Unopenable, match=f"under key {other.primary}"):
        RING.open(other.seal("sk-team", context=HERE), context=HERE)


@given(st.text())
def test_other_texts_are_not_sealed_ones(text: str) -> None:
    assert not is_sealed(text)
    with pytest.raises(Unopenable):
        sealed_under(text)


@pytest.mark.parametrize("text", ["v1.local.AAAA", "v1.0123abcd.AAAA", "v2.0123abcd." + "A" * 60, "v1.0123abcd."])
def test_what_looks_alike_is_not_sealed(text: str) -> None:
    assert not is_sealed(text)


def test_no_two_seals_are_alike() -> None:
    assert len({RING.seal("sk-team", context=HERE) for _ in range(100)}) == 100


def test_the_first_key_seals_and_all_open() -> None:
    old, new = generate_key(), generate_key()
    before, after = Ring.parse(old), Ring.parse(f"{new},{old}")
    assert after.ids == (Ring.parse(new).primary, before.primary)
    assert after.open(before.seal("sk-team", context=HERE), context=HERE) == "sk-team"
    assert sealed_under(after.seal("sk-team", context=HERE)) == Ring.parse(new).primary


def test_subkeys_differ_by_purpose_and_key_and_last() -> None:
    subkeys = [RING.derive(label, key_id=key_id) for label in ("one", "two") for key_id in RING.ids]
    assert len(set(subkeys)) == 4
    assert {len(subkey) for subkey in subkeys} == {32}
    assert RING.derive("one") == subkeys[0]


def test_derivations_stay_what_they_were() -> None:
    """What is sealed today must open with tomorrow's release."""
    ring = Ring.parse(base64.b64encode(bytes(range(32))).decode())
    assert ring.ids == ("ebaaf829",)
    assert ring.check_value(ring.primary) == "f9dcca2bd61510623d7d8a21fb3725fb"
    assert ring.open("v1.ebaaf829.SDy7dmiq_cEjgp2jPGPdsoy3DSQ1XIUikMP1-AAZBJQF8aE=", context=HERE) == "sk-team"


def test_a_ring_shows_ids_only() -> None:
    key = generate_key()
    ring = Ring.parse(key)
    raw = base64.b64decode(key)
    assert ring.primary in repr(ring)
    assert key not in repr(ring) and repr(raw) not in repr(ring) and raw.hex() not in repr(ring)


def test_a_key_is_new_and_long() -> None:
    keys = {generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key)) for key in keys} == {32}
