"""Whatever the demonstration lists can be tried there: echo plans, criticises and judges."""

from collections.abc import Iterator

import orjson
import pytest

from gateway.flows import FLOWS, PREFIX
from tests.server import ROOT, Gateway


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway of the demonstration, which has nobody but echo."""
    config = orjson.loads((ROOT / "fixtures/config/demo.json").read_bytes())
    with Gateway(tmp_path_factory.mktemp("demo"), config) as running:
        yield running


def test_it_works(demo: Gateway) -> None:
    for name in FLOWS:
        assert demo.post(model=f"{PREFIX}{name}").ok, name
        assert demo.post("/v1/messages", model=f"{PREFIX}{name}", max_tokens=100).ok, name
        assert demo.post("/v1/responses", model=f"{PREFIX}{name}", input="hi", messages=None).ok, name


def test_a_vote_has_the_words_of_an_answer(demo: Gateway) -> None:
    said = demo.post(model=f"{PREFIX}vote").json()["choices"][0]["message"]["content"]
    assert said == "hello"
