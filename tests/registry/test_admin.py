"""The admin shows providers and models, edits them in lists, switches many, and keeps and tells their history."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from registry.models import Model, Provider
from registry.stamp import watch
from tests.registry.browser import opened, saved
from tests.registry.rows import a_model, a_provider, a_reference, a_secret

pytestmark = pytest.mark.django_db

MODELS = reverse("admin:registry_model_changelist")
PROVIDERS = reverse("admin:registry_provider_changelist")


def page(client: Client, url: str) -> str:
    """The text of a page that must be there."""
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def listed(client: Client, query: str) -> list[str]:
    """The ids of the models that a list shows, in its order."""
    return [model.public_id for model in client.get(f"{MODELS}?{query}").context["cl"].result_list]


def test_it_works(admin_client: Client) -> None:
    provider = a_provider()
    url = reverse("admin:registry_model_add")
    saved(
        admin_client,
        url,
        opened(admin_client, url),
        public_id="gpt",
        name="gpt-4o",
        provider=str(provider.pk),
        context_size="1000",
        capabilities=["chat", "tools"],
        aliases="fast, cheap ,, best",
        cost_per_1k="0.00015",
    )
    model = Model.objects.get()
    assert (model.public_id, model.capabilities) == ("gpt", ["chat", "tools"])
    assert (model.aliases, str(model.cost_per_1k)) == (["fast", "cheap", "best"], "0.000150000")
    change = page(admin_client, reverse("admin:registry_model_change", args=[model.pk]))
    assert 'value="fast, cheap, best"' in change
    assert 'value="0.00015"' in change


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("aliases", "auto"),
        ("aliases", "a, a"),
        ("aliases", "with space"),
        ("capabilities", "flying"),
        ("weight", "nan"),
    ],
)
def test_a_wrong_value_is_said(admin_client: Client, field: str, value: str) -> None:
    model = a_model()
    url = reverse("admin:registry_model_change", args=[model.pk])
    assert "errorlist" in saved(admin_client, url, opened(admin_client, url), **{field: value})
    model.refresh_from_db()
    assert (model.aliases, model.capabilities, model.weight) == ([], ["chat", "completion"], 50)


def test_a_list_is_sorted_by_score(admin_client: Client) -> None:
    a_model("dear", weight=60, cost_per_1k=3)
    a_model("good", weight=50)
    a_model("poor", weight=20)
    assert listed(admin_client, "o=-5") == ["good", "dear", "poor"]
    assert listed(admin_client, "o=5") == ["poor", "dear", "good"]


def test_a_list_is_filtered_and_searched(admin_client: Client) -> None:
    vllm = a_provider("gpu", type="vllm", base_url="https://gpu.example.com")
    a_model("eye", vllm, capabilities=["chat", "vision"], aliases=["seer"])
    a_model("ear", a_provider("echo"), enabled=False)
    assert listed(admin_client, "capability=vision") == ["eye"]
    assert listed(admin_client, "provider__type__exact=echo") == ["ear"]
    assert listed(admin_client, f"provider__id__exact={vllm.pk}") == ["eye"]
    assert listed(admin_client, "enabled__exact=0") == ["ear"]
    assert listed(admin_client, "q=seer") == ["eye"]
    assert listed(admin_client, "q=gpu") == ["eye"]
    assert listed(admin_client, "q=nothing") == []


def test_a_list_asks_a_constant_number_of_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        a_model(f"m{number}", a_provider(f"p{number}", secret=a_secret(f"s{number}")))
    for url in (MODELS, PROVIDERS):
        with django_assert_max_num_queries(10):
            page(admin_client, url)


@pytest.mark.parametrize(("action", "enabled"), [("enable", True), ("disable", False)])
def test_many_rows_are_switched_and_each_keeps_its_history(admin_client: Client, action: str, enabled: bool) -> None:
    rows = [a_model(name, enabled=state) for name, state in (("a", True), ("b", False), ("c", False))]
    other = a_model("other", enabled=not enabled)
    before = watch.version()
    fields = {"action": action, "index": "0", "_selected_action": [str(row.pk) for row in rows]}
    admin_client.post(MODELS, fields)
    assert set(Model.objects.exclude(pk=other.pk).values_list("enabled", flat=True)) == {enabled}
    assert Model.objects.get(pk=other.pk).enabled is not enabled
    changed = [row for row in rows if row.enabled is not enabled]
    for row in rows:
        newest = row.history.first()
        assert row.history.count() == (2 if row in changed else 1)
        assert (newest.enabled, str(newest.history_user)) == (enabled, "admin" if row in changed else "None")
    assert watch.version() > before


def test_many_providers_are_switched(admin_client: Client) -> None:
    providers = [a_provider("a"), a_provider("b", secret=a_secret())]
    fields = {"action": "disable", "index": "0", "_selected_action": [str(provider.pk) for provider in providers]}
    assert "2 disabled." in admin_client.post(PROVIDERS, fields, follow=True).content.decode()
    assert not Provider.objects.filter(enabled=True).exists()


def test_the_history_tells_who_when_before_and_after(admin_client: Client) -> None:
    model = a_model(weight=50)
    url = reverse("admin:registry_model_change", args=[model.pk])
    saved(admin_client, url, opened(admin_client, url), weight="70")
    newest, oldest = model.history.all()
    assert (oldest.weight, newest.weight, str(newest.history_user)) == (50, 70, "admin")
    history = " ".join(page(admin_client, reverse("admin:registry_model_history", args=[model.pk])).split())
    assert "<strong>Weight:</strong> 50.0" in history
    assert "&rarr;&nbsp;&nbsp;70.0" in history
    assert "admin</a>" in history


def test_an_old_version_is_brought_back(admin_client: Client) -> None:
    model = a_model(weight=50)
    model.weight = 70
    model.save()
    old = model.history.last()
    url = reverse("admin:registry_model_simple_history", args=[model.pk, old.pk])
    saved(admin_client, url, opened(admin_client, url))
    model.refresh_from_db()
    assert (model.weight, model.history.count()) == (50, 3)


def test_a_page_saved_as_it_was_leaves_no_mark(admin_client: Client) -> None:
    model = a_model(aliases=["a"], cost_per_1k="0.5")
    before = watch.version()
    url = reverse("admin:registry_model_change", args=[model.pk])
    saved(admin_client, url, opened(admin_client, url))
    assert (model.history.count(), watch.version()) == (1, before)


def test_keys_are_chosen_by_name_and_never_shown(admin_client: Client) -> None:
    stored, env = a_secret("team", "sk-canary-0123456789"), a_reference("ref", "TEAM_OPENAI_KEY")
    provider = a_provider("openai", type="openai", secret=stored)
    url = reverse("admin:registry_provider_change", args=[provider.pk])
    shown = page(admin_client, url)
    assert "team (••••6789)" in shown
    assert "ref (env:TEAM_OPENAI_KEY)" in shown
    saved(admin_client, url, opened(admin_client, url), secret=str(env.pk))
    provider.refresh_from_db()
    assert provider.secret == env
    everywhere = [page(admin_client, address) for address in (url, PROVIDERS, f"{url[:-7]}history/")]
    assert "TEAM_OPENAI_KEY is not set" in everywhere[1]
    assert "canary" not in "".join([shown, *everywhere])


def test_a_key_that_does_not_open_breaks_no_page(admin_client: Client) -> None:
    first, second = a_secret("first"), a_secret("second")
    provider = a_provider("openai", type="openai", secret=second)
    sealed = type(first).objects.filter(pk=first.pk).values_list("value", flat=True).get()
    type(second).objects.filter(pk=second.pk).update(value=sealed)
    change = page(admin_client, reverse("admin:registry_provider_change", args=[provider.pk]))
    assert "second (cannot be opened)" in change
    assert 'class="problem"' in page(admin_client, PROVIDERS)


def test_a_provider_names_the_models_that_depend_on_it(admin_client: Client) -> None:
    provider = a_provider()
    model = a_model("dependent", provider)
    change = page(admin_client, reverse("admin:registry_provider_change", args=[provider.pk]))
    assert f'<a href="{reverse("admin:registry_model_change", args=[model.pk])}">dependent</a>' in change
    assert "cannot be deleted" in change
    assert f"{MODELS}?provider__id__exact={provider.pk}" in page(admin_client, PROVIDERS)
    delete = reverse("admin:registry_provider_delete", args=[provider.pk])
    assert "dependent" in page(admin_client, delete)
    admin_client.post(delete, {"post": "yes"})
    assert Provider.objects.filter(pk=provider.pk).exists()


def test_a_model_is_tested_by_post_only(admin_client: Client) -> None:
    model = a_model()
    target = reverse("gateway:test-model", args=[model.pk])
    change = page(admin_client, reverse("admin:registry_model_change", args=[model.pk]))
    assert f'<form method="post" action="{target}">' in change
    assert f'formmethod="post" formnovalidate formaction="{target}"' in page(admin_client, MODELS)
    assert f'href="{target}"' not in change


def test_who_may_only_look_sees_and_changes_nothing(client: Client) -> None:
    user = User.objects.create_user("guest", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_model", "view_provider"]))
    client.force_login(user)
    model = a_model()
    url = reverse("admin:registry_model_change", args=[model.pk])
    assert "small" in page(client, url)
    assert "Test this model" not in page(client, url)
    assert client.post(url, {"weight": "1"}).status_code == 403
    assert "formaction" not in page(client, MODELS)
    client.post(MODELS, {"action": "disable", "index": "0", "_selected_action": [str(model.pk)]})
    assert Model.objects.get().enabled
    page(client, reverse("admin:registry_provider_change", args=[model.provider_id]))


def test_a_new_model_begins_as_one_in_a_file(admin_client: Client) -> None:
    """With the name of its id, and able to chat and to complete."""
    url = reverse("admin:registry_model_add")
    provider = str(a_provider().pk)
    saved(admin_client, url, opened(admin_client, url), public_id="gpt", provider=provider, context_size="1000")
    model = Model.objects.get()
    assert (model.name, model.capabilities) == ("gpt", ["chat", "completion"])
