"""What a period would have cost at other prices is shown beside what it did cost, and nothing is changed."""

from io import StringIO
from pathlib import Path

import orjson
import pytest
from django.core.management import CommandError, call_command

from accounts.ledger import book
from accounts.models import Attempt, Price
from registry.models import Model
from tests.accounts.entries import a_call, an_attempt
from tests.registry.rows import a_model
from tests.server import model

pytestmark = pytest.mark.django_db


def shown(first: str = "2026-11-25", last: str = "2026-11-25", *more: str) -> list[list[str]]:
    """The words of the lines after the first."""
    out = StringIO()
    call_command("reprice", "--from", first, "--to", last, *more, stdout=out)
    return [line.split() for line in out.getvalue().splitlines()[1:]]


@pytest.fixture(autouse=True)
def _calls() -> None:
    a_model("small", cost_per_1k="0.004")
    gone = an_attempt(model="gone", cost_micro=11)
    book(
        [a_call("req_1"), a_call("req_2", an_attempt(cache_read=100), gone), a_call("req_3", at=1_795_600_000 + 86400)]
    )


def test_it_works() -> None:
    before = list(Attempt.objects.values()), list(Price.objects.values())
    assert shown() == [
        ["gone", "echo", "1", "0.000011", "no", "price"],
        ["small", "echo", "2", "0.000060", "0.000520"],
        ["all", "3", "0.000071", "0.000531"],
    ]
    assert (list(Attempt.objects.values()), list(Price.objects.values())) == before


def test_a_period_ends_with_its_last_day() -> None:
    assert shown("2026-11-25", "2026-11-26")[-1][1] == "4"
    assert shown("2026-11-26", "2026-11-26")[-1] == ["all", "1", "0.000030", "0.000060"]
    assert shown("2026-11-27", "2026-11-28") == [["all", "0", "0.000000", "0.000000"]]


def test_each_attempt_is_rounded_for_itself() -> None:
    Model.objects.update(cost_per_1k="0.00010")  # 1.5 micro-dollars, which are 2
    assert shown("2026-11-26", "2026-11-26")[0][-1] == "0.000002"


def test_a_file_may_have_the_prices(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    told = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("small", "echo", output_per_1k=0.1)]}
    file.write_bytes(orjson.dumps(told))
    assert shown("2026-11-26", "2026-11-26", "--config", str(file))[0][-1] == "0.000600"
    file.write_text("[]")
    with pytest.raises(CommandError, match="cannot be read"):
        shown("2026-11-26", "2026-11-26", "--config", str(file))


def test_what_is_no_day_is_refused() -> None:
    with pytest.raises(CommandError, match="--from"):
        shown("yesterday")
