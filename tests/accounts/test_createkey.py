"""`createkey` prints a key that works, alone on a line, or says what is wrong and makes nothing."""

import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import durations, keys
from accounts.models import ApiKey, Team
from accounts.picture import read_picture
from tests.registry.rows import a_model, an_alias

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> tuple[str, str]:
    """What it prints, and what it says beside it."""
    out, err = StringIO(), StringIO()
    call_command("createkey", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_works() -> None:
    printed, said = create("--name", "app", "--team", "search", "--scopes", "chat, embeddings", "--expires", "90d")
    token = printed.removesuffix("\n")
    assert (printed, said) == (f"{token}\n", "")
    facts = keys.check(token, read_picture()[0], time.time())
    assert (facts.name, facts.scopes, facts.models) == ("app", frozenset({"chat", "embeddings"}), frozenset())
    assert facts.team is not None
    assert facts.team.name == "search"
    assert facts.expires_at == pytest.approx(time.time() + 90 * 86_400, abs=60)


def test_a_team_is_made_once() -> None:
    create("--name", "one", "--team", "search")
    create("--name", "two", "--team", "search")
    assert Team.objects.get().keys.count() == 2


def test_a_model_that_is_not_there_is_told() -> None:
    an_alias("fast", a_model("small", aliases=["tiny"]))
    printed, said = create("--name", "app", "--models", "small,tiny,fast,large")
    assert printed.startswith("th_")
    assert said == "There is no model or alias large yet.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        *((["--name", text], "argument --name: it is empty") for text in ("", "   ")),
        (["--name", "two\nlines"], "argument --name: it has characters that cannot be shown"),
        (["--name", "\udcff"], "argument --name: it has characters that cannot be shown"),
        *((["--name", "a", "--scopes", text], "argument --scopes: it names nothing") for text in ("", " , ")),
        (["--name", "a", "--models", ""], "argument --models: it names nothing"),
        (["--name", "a", "--team", ""], "argument --team: it is empty"),
        (["--name", "a", "--expires", ""], "argument --expires: it is empty"),
        (["--name", "a", "--expires", "0d"], "--expires: 0d is over already."),
        (["--name", "a", "--expires", "2020-01-01"], "--expires: 2020-01-01 is over already."),
        (["--name", "a", "--expires", "\u0663d"], "--expires: "),
        (["--name", "x" * 101], "name: "),
        (["--name", "a", "--scopes", "chat,all"], "scopes: Unknown: all."),
        (["--name", "a", "--scopes", "chat,chat"], "scopes: The scopes name something twice."),
        (["--name", "a", "--expires", "soon"], "--expires: 'soon' is no span of time"),
        (["--name", "a", "--expires", "2027-02-30"], "--expires: "),
        (["--name", "a", "--expires", "999999w"], "--expires: "),
        (["--name", "a", "--team", "t" * 101], "name: "),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told.replace(".", r"\.")):
        create(*arguments)
    assert (ApiKey.objects.count(), Team.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        (" 2w ", timedelta(weeks=2)),
    ],
)
def test_spans_are_read(text: str, expected: timedelta) -> None:
    assert durations.span(text) == expected


@pytest.mark.parametrize("text", ["", "5", "d", "-1d", "1.5h", "1y", "1d2h"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of time"):
        durations.span(text)


def test_a_day_counts_to_its_end() -> None:
    now: Any = timezone.now()
    assert durations.moment("2027-01-31", now) == datetime(2027, 2, 1, tzinfo=UTC)
