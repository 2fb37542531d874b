"""The admin shows aliases with the shares of their models, and edits both on one page."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from registry.models import Alias, AliasTarget
from registry.stamp import watch
from tests.registry.browser import opened, saved
from tests.registry.rows import a_model, an_alias

pytestmark = pytest.mark.django_db

ALIASES = reverse("admin:registry_alias_changelist")
ADD = reverse("admin:registry_alias_add")


def page(client: Client, url: str) -> str:
    """The text of a page that must be there."""
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def page_of(alias: Alias) -> str:
    """The address of an alias's page."""
    return reverse("admin:registry_alias_change", args=[alias.pk])


def listed(client: Client, query: str) -> list[str]:
    """The names of the aliases that a list shows, in its order."""
    return [alias.name for alias in client.get(f"{ALIASES}?{query}").context["cl"].result_list]


def targets(name: str = "fast") -> list[tuple[str, float | None]]:
    """The models of an alias with their weights, in order."""
    return [(target.model.public_id, target.weight) for target in Alias.objects.get(name=name).targets.all()]


def a_user(*permissions: str) -> User:
    """Somebody who may do these things and no others."""
    user = User.objects.create_user("guest", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def test_it_works(admin_client: Client) -> None:
    old, new = a_model("old"), a_model("new")
    fields = opened(admin_client, ADD)
    rows = {"targets-TOTAL_FORMS": "2", "targets-0-model": str(old.pk), "targets-0-weight": "95"}
    rows |= {"targets-1-model": str(new.pk), "targets-1-weight": "5"}
    saved(admin_client, ADD, fields, name="fast", strategy="weighted", **rows)
    assert (Alias.objects.get().strategy, targets()) == ("weighted", [("old", 95.0), ("new", 5.0)])
    assert "old 95 %, new 5 %" in page(admin_client, ALIASES)

    url = page_of(Alias.objects.get())
    saved(admin_client, url, opened(admin_client, url), **{"targets-1-weight": "10", "targets-0-DELETE": "on"})
    assert targets() == [("new", 10.0)]
    newest, oldest = Alias.history.all()
    assert (oldest.history_change_reason, newest.history_change_reason) == (
        "models: old 95 %, new 5 %",
        "models: new 100 %",
    )
    assert "models: new 100 %" in page(admin_client, url.replace("change", "history"))
    assert {str(record.history_user) for record in AliasTarget.history.all()} == {"admin"}


def test_a_page_saved_as_it_was_leaves_no_mark(admin_client: Client) -> None:
    alias = an_alias("fast", (a_model(), 2.5))
    before = watch.version()
    saved(admin_client, page_of(alias), opened(admin_client, page_of(alias)))
    assert (alias.history.count(), AliasTarget.history.count(), watch.version()) == (1, 1, before)


def test_an_edit_of_the_alias_alone_does_not_speak_of_models(admin_client: Client) -> None:
    alias = an_alias("fast", a_model())
    saved(admin_client, page_of(alias), opened(admin_client, page_of(alias)), note="mine")
    assert [record.history_change_reason for record in alias.history.all()] == [None, None]


@pytest.mark.parametrize(
    ("strategy", "weights", "shown"),
    [
        ("weighted", (90, None), "a 90 %, b 10 %"),
        ("", (1, 2), "a 33.3 %, b 66.7 %"),
        ("", (None, None), "a, b"),
        ("weighted", (None, None), "a 75 %, b 25 %"),
        ("cheapest", (1, 2), "a, b"),
        ("weighted", (0, 0), "a, b"),
    ],
)
def test_shares_are_told_where_weights_decide(
    admin_client: Client, strategy: str, weights: tuple[float | None, float | None], shown: str
) -> None:
    first, second = a_model("a", weight=30), a_model("b", weight=10)
    an_alias("fast", (first, weights[0]), (second, weights[1]), strategy=strategy)
    assert f'<td class="field-models_of_it">{shown}</td>' in page(admin_client, ALIASES)


def test_a_disabled_model_has_no_share(admin_client: Client) -> None:
    an_alias("fast", (a_model("off", enabled=False), 50), (a_model("on"), 1), strategy="weighted")
    an_alias("empty")
    text = page(admin_client, ALIASES)
    assert "off (disabled), on 100 %" in text
    assert '<td class="field-models_of_it">none</td>' in text


def test_an_old_version_is_brought_back(admin_client: Client) -> None:
    alias = an_alias("fast", (a_model(), 1), strategy="cheapest")
    alias.strategy = "fastest"
    alias.save()
    url = reverse("admin:registry_alias_simple_history", args=[alias.pk, alias.history.last().pk])
    saved(admin_client, url, opened(admin_client, url))
    alias.refresh_from_db()
    assert (alias.strategy, alias.history.count(), targets()) == ("cheapest", 3, [("small", 1.0)])


def test_a_list_is_filtered_searched_and_edited(admin_client: Client) -> None:
    both = [a_model("gpt"), a_model("gpt-mini")]
    an_alias("fast", *both, strategy="fastest")
    other = an_alias("slow", note="for nights", enabled=False)
    assert listed(admin_client, "q=gpt") == ["fast"]
    assert listed(admin_client, "q=nights") == ["slow"]
    assert listed(admin_client, "strategy__exact=fastest") == ["fast"]
    assert listed(admin_client, "enabled__exact=0") == ["slow"]
    fields = opened(admin_client, ALIASES, "changelist-form")
    row = next(name[:-3] for name, value in fields.items() if name.endswith("-id") and value == [str(other.pk)])
    saved(admin_client, ALIASES, fields, **{f"{row}-enabled": "on"})
    assert Alias.objects.get(name="slow").enabled
    admin_client.post(ALIASES, {"action": "disable", "index": "0", "_selected_action": [str(other.pk)]})
    assert not Alias.objects.get(name="slow").enabled
    assert [record.enabled for record in other.history.all()] == [False, True, False]


def test_a_list_asks_a_constant_number_of_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        an_alias(f"a{number}", a_model(f"m{number}"), a_model(f"n{number}"))
    with django_assert_max_num_queries(10):
        page(admin_client, ALIASES)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "taken"}, "A model has this id."),
        ({"name": "auto"}, "cannot be an alias"),
        ({"name": "tokenhub/x"}, "the gateway&#x27;s own"),
        ({"targets-0-weight": "-1"}, "greater than or equal to 0"),
        ({"targets-0-weight": "nan"}, "Enter a number."),
        ({"targets-1-model": "1", "targets-TOTAL_FORMS": "2"}, "Please correct the duplicate"),
    ],
)
def test_a_wrong_value_is_said(admin_client: Client, fields: dict[str, str], words: str) -> None:
    model = a_model("taken")
    alias = an_alias("fast", (model, 1))
    if "targets-1-model" in fields:
        fields = fields | {"targets-1-model": str(model.pk)}
    assert words in saved(admin_client, page_of(alias), opened(admin_client, page_of(alias)), **fields)
    assert targets() == [("taken", 1.0)]


def test_a_model_cannot_take_the_name_of_an_alias(admin_client: Client) -> None:
    model = a_model()
    an_alias("fast")
    url = reverse("admin:registry_model_change", args=[model.pk])
    assert "An alias has this name." in saved(admin_client, url, opened(admin_client, url), public_id="fast")
    assert "is left out of requests that need one it does not name" in page(admin_client, url)


def test_the_pages_of_two_people_merge(admin_client: Client) -> None:
    first, second, third = (a_model(name) for name in ("a", "b", "c"))
    alias = an_alias("fast", (first, 1), (second, 2))
    seen = opened(admin_client, page_of(alias))
    AliasTarget.objects.filter(model=second).update(weight=7)
    alias.targets.create(model=third)
    saved(admin_client, page_of(alias), seen, **{"targets-0-weight": "9"})
    assert targets() == [("a", 9.0), ("b", 7.0), ("c", None)]
    seen["targets-0-weight"] = ["8"]
    answer = saved(admin_client, page_of(alias), seen)
    assert "Somebody else changed this to 9.0 meanwhile" in answer


def test_a_model_that_is_gone_meanwhile_does_not_come_back(admin_client: Client) -> None:
    first, second = a_model("a"), a_model("b")
    alias = an_alias("fast", (first, 1), (second, 2))
    seen = opened(admin_client, page_of(alias))
    AliasTarget.objects.filter(model=second).delete()
    changes = {"targets-0-weight": "9", "targets-1-weight": "3"}
    assert "errornote" in saved(admin_client, page_of(alias), seen, **changes)
    assert targets() == [("a", 1.0)]


def test_models_are_found_by_what_is_typed(admin_client: Client) -> None:
    a_model("gpt", aliases=["smart"])
    a_model("other")
    query = {"app_label": "registry", "model_name": "aliastarget", "field_name": "model", "term": "smart"}
    found = admin_client.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [each["text"] for each in found] == ["gpt"]


def test_who_may_only_look_sees_and_changes_nothing(client: Client) -> None:
    alias = an_alias("fast", (a_model(), 3))
    client.force_login(a_user("view_alias"))
    text = page(client, page_of(alias))
    assert "small" in text
    assert "targets-0-weight" not in text
    assert client.post(page_of(alias), {"name": "x"}).status_code == 403
    client.post(ALIASES, {"action": "disable", "index": "0", "_selected_action": [str(alias.pk)]})
    assert Alias.objects.get().enabled


def test_who_may_edit_an_alias_may_edit_its_models(client: Client) -> None:
    alias = an_alias("fast", (a_model(), 3))
    client.force_login(a_user("view_alias", "change_alias"))
    saved(client, page_of(alias), opened(client, page_of(alias)), **{"targets-0-weight": "4"})
    assert targets() == [("small", 4.0)]
    assert client.get(ADD).status_code == 403
