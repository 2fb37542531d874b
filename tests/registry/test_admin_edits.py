"""Edits of several people meet without one of them being lost unseen."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from registry.models import Model, Provider
from tests.registry.browser import Fields, opened, saved
from tests.registry.rows import a_model, a_provider

pytestmark = pytest.mark.django_db

MODELS = reverse("admin:registry_model_changelist")


def row_of(fields: Fields, model: Model) -> str:
    """The prefix of a model's row in the list."""
    return next(
        name.removesuffix("-id") for name, value in fields.items() if name.endswith("-id") and value == [str(model.pk)]
    )


def rows_saved(client: Client, fields: Fields, changes: dict[str, str | None]) -> str:
    """Save the list with these changes, names given as `<row>-<field>`."""
    return saved(client, MODELS, fields, **changes)


@pytest.fixture
def other_client() -> Client:
    """The browser of somebody else."""
    client = Client()
    client.force_login(User.objects.create_superuser("somebody"))
    return client


def test_it_works(admin_client: Client) -> None:
    first, second = a_model("a"), a_model("b")
    fields = opened(admin_client, MODELS, "changelist-form")
    rows_saved(
        admin_client, fields, {f"{row_of(fields, first)}-weight": "61", f"{row_of(fields, second)}-enabled": None}
    )
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.weight, first.enabled) == (61, True)
    assert (second.weight, second.enabled) == (50, False)
    assert [str(record.history_user) for record in first.history.all()] == ["admin", "None"]


def test_a_row_is_found_by_its_key_and_not_by_its_place(admin_client: Client) -> None:
    low, high = a_model("low", weight=10), a_model("high", weight=90)
    url = f"{MODELS}?o=-3"
    fields = opened(admin_client, url, "changelist-form")
    changes = {f"{row_of(fields, high)}-weight": "91"}
    Model.objects.filter(pk=low.pk).update(weight=95)
    saved(admin_client, url, fields, **changes)
    assert dict(Model.objects.values_list("public_id", "weight")) == {"low": 95, "high": 91}


def test_a_row_that_was_not_touched_keeps_what_others_saved(admin_client: Client, other_client: Client) -> None:
    mine, theirs = a_model("mine"), a_model("theirs")
    opened_by_me = opened(admin_client, MODELS, "changelist-form")
    opened_by_them = opened(other_client, MODELS, "changelist-form")
    rows_saved(other_client, opened_by_them, {f"{row_of(opened_by_them, theirs)}-weight": "99"})
    rows_saved(admin_client, opened_by_me, {f"{row_of(opened_by_me, mine)}-weight": "1"})
    assert dict(Model.objects.values_list("public_id", "weight")) == {"mine": 1, "theirs": 99}
    assert theirs.history.count() == 2


def test_different_fields_of_one_row_merge(admin_client: Client, other_client: Client) -> None:
    model = a_model()
    opened_by_me = opened(admin_client, MODELS, "changelist-form")
    opened_by_them = opened(other_client, MODELS, "changelist-form")
    rows_saved(other_client, opened_by_them, {f"{row_of(opened_by_them, model)}-enabled": None})
    rows_saved(admin_client, opened_by_me, {f"{row_of(opened_by_me, model)}-weight": "1"})
    model.refresh_from_db()
    assert (model.weight, model.enabled) == (1, False)


def test_the_same_field_of_one_row_is_refused(admin_client: Client, other_client: Client) -> None:
    model = a_model()
    opened_by_me = opened(admin_client, MODELS, "changelist-form")
    opened_by_them = opened(other_client, MODELS, "changelist-form")
    rows_saved(other_client, opened_by_them, {f"{row_of(opened_by_them, model)}-weight": "99"})
    answer = rows_saved(admin_client, opened_by_me, {f"{row_of(opened_by_me, model)}-weight": "1"})
    assert "Somebody else changed this to 99.0 meanwhile" in answer
    model.refresh_from_db()
    assert model.weight == 99


def test_the_same_change_twice_is_no_conflict(admin_client: Client) -> None:
    model = a_model()
    fields = opened(admin_client, MODELS, "changelist-form")
    Model.objects.update(weight=7)
    answer = rows_saved(admin_client, fields, {f"{row_of(fields, model)}-weight": "7"})
    assert "meanwhile" not in answer


def test_fields_outside_the_list_are_not_set_back(admin_client: Client) -> None:
    model = a_model(context_size=1000)
    fields = opened(admin_client, MODELS, "changelist-form")
    Model.objects.update(context_size=2000)
    rows_saved(admin_client, fields, {f"{row_of(fields, model)}-weight": "1"})
    model.refresh_from_db()
    assert (model.weight, model.context_size) == (1, 2000)


def test_a_row_deleted_meanwhile_does_not_come_back(admin_client: Client) -> None:
    gone, stays = a_model("gone"), a_model("stays")
    fields = opened(admin_client, MODELS, "changelist-form")
    gone.delete()
    answer = rows_saved(admin_client, fields, {f"{row_of(fields, stays)}-weight": "1"})
    assert "errornote" in answer
    assert dict(Model.objects.values_list("public_id", "weight")) == {"stays": 50}


def test_the_pages_of_two_people_merge(admin_client: Client, other_client: Client) -> None:
    model = a_model(aliases=["old"])
    url = reverse("admin:registry_model_change", args=[model.pk])
    opened_by_me, opened_by_them = opened(admin_client, url), opened(other_client, url)
    saved(other_client, url, opened_by_them, aliases="new", capabilities=["chat", "tools"], enabled=None)
    saved(admin_client, url, opened_by_me, weight="1")
    model.refresh_from_db()
    assert (model.weight, model.aliases, model.enabled) == (1, ["new"], False)
    assert model.capabilities == ["chat", "tools"]


@pytest.mark.parametrize(
    ("field", "theirs", "mine"),
    [
        ("aliases", "new", "newer"),
        ("capabilities", ["chat", "tools"], ["chat", "vision"]),
        ("weight", "1", "2"),
        ("cost_per_1k", "0.1", "0.2"),
        ("max_output_tokens", "10", "20"),
        ("rpm", "10", "20"),
    ],
)
def test_the_pages_of_two_people_meet_in_a_field(
    admin_client: Client, other_client: Client, field: str, theirs: str | list[str], mine: str | list[str]
) -> None:
    model = a_model(aliases=["old"])
    url = reverse("admin:registry_model_change", args=[model.pk])
    opened_by_me, opened_by_them = opened(admin_client, url), opened(other_client, url)
    saved(other_client, url, opened_by_them, **{field: theirs})
    assert "Somebody else changed this" in saved(admin_client, url, opened_by_me, **{field: mine})
    assert model.history.count() == 2


def test_the_provider_of_a_provider_page_merges_too(admin_client: Client, other_client: Client) -> None:
    provider = a_provider(extra_headers={"X-A": "1"})
    url = reverse("admin:registry_provider_change", args=[provider.pk])
    opened_by_me, opened_by_them = opened(admin_client, url), opened(other_client, url)
    saved(other_client, url, opened_by_them, extra_headers='{"X-A": "2"}')
    saved(admin_client, url, opened_by_me, note="mine")
    assert list(Provider.objects.values_list("note", "extra_headers")) == [("mine", {"X-A": "2"})]


def test_a_program_may_post_without_what_it_has_seen(admin_client: Client) -> None:
    model = a_model(aliases=["old"], weight=3)
    url = reverse("admin:registry_model_change", args=[model.pk])
    fields = {name: value for name, value in opened(admin_client, url).items() if not name.startswith("initial-")}
    saved(admin_client, url, fields, aliases="", enabled=None)
    model.refresh_from_db()
    assert (model.aliases, model.enabled, model.weight) == ([], False, 3)
