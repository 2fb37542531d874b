"""What is counted of a call when it ends, by few and known names."""

import time
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from gateway import accounting, labels, meters
from gateway.exchange import CALLER_LEFT, OVERTAKEN, Attempt, Call, Usage
from gateway.urls import urlpatterns
from vault.crypto import Hidden


def tried(model: str, error: str = "", **more: Any) -> Attempt:
    return Attempt(model, "p", error=error, **more)


def counted(name: str, **by: str) -> float:
    return meters.registry.get_sample_value(f"tokenhub_{name}", by) or 0.0


@pytest.fixture
def _watched(settings: Settings) -> None:
    settings.TOKENHUB_METRICS = True


@pytest.mark.usefixtures("_watched")
def test_it_works() -> None:
    now = time.monotonic()
    call = Call("req_1", "POST /v1/messages", now - 1.0, stream=True, status=200)
    used = Usage(uncached=3, cache_read=4, cache_write=5, output=6, reasoning=2)
    call.attempts = [tried("a", usage=used, cost_micro=1500, began=now - 0.75, ms=500.0, ttft_ms=20.0)]
    accounting.ended(call)
    assert counted("requests_total", endpoint="/v1/messages", status="2xx") == 1
    kinds = {kind: counted("tokens_total", model="a", provider="p", kind=kind) for kind in ("input", "output")}
    assert kinds == {"input": 3, "output": 6}
    assert counted("tokens_total", model="a", provider="p", kind="cache_read") == 4
    assert counted("tokens_total", model="a", provider="p", kind="cache_write") == 5
    assert counted("cost_usd_total", model="a", provider="p") == pytest.approx(0.0015)
    assert counted("time_to_first_token_seconds_sum", model="a", provider="p") == pytest.approx(0.02)
    assert counted("overhead_seconds_sum") == pytest.approx(0.5, abs=0.1)


def test_nothing_is_counted_where_nobody_may_read_it() -> None:
    accounting.ended(Call("req_2", "GET /v1/usage", time.monotonic(), status=200))
    assert counted("requests_total", endpoint="/v1/usage", status="2xx") == 0


@pytest.mark.usefixtures("_watched")
def test_a_spent_budget_is_a_refusal() -> None:
    before = counted("refusals_total", by="budget", limit="cost")
    accounting.ended(Call("req_3", "POST /v1/messages", time.monotonic(), status=402, error="budget_exceeded"))
    assert counted("refusals_total", by="budget", limit="cost") == before + 1


@pytest.mark.parametrize(
    ("attempts", "failed"),
    [
        ([tried("a")], []),
        ([tried("a", "provider_error")], []),
        ([tried("a", "provider_error"), tried("b", "timeout"), tried("c")], ["a", "b"]),
        ([tried("a", OVERTAKEN), tried("b")], []),
        ([tried("a", CALLER_LEFT), tried("b")], []),
        ([tried("a", "provider_error", phase="plan"), tried("b", phase="critique")], []),
        ([tried("a", "provider_error", phase="x"), tried("b", phase="y"), tried("c", phase="x")], ["a"]),
    ],
)
def test_a_fallback_is_a_failure_with_a_next_try(attempts: list[Attempt], failed: list[str]) -> None:
    assert [one.model for one, _ in meters.fallbacks(attempts)] == failed


@pytest.mark.parametrize(
    ("spans", "away"),
    [
        ([], 0.0),
        ([(1.0, 2.0)], 2.0),
        ([(1.0, 2.0), (4.0, 1.0)], 3.0),
        ([(1.0, 3.0), (2.0, 1.0), (3.5, 1.0)], 3.5),
    ],
)
def test_tries_at_the_same_time_are_no_overhead_twice(spans: list[tuple[float, float]], away: float) -> None:
    attempts = [tried("m", began=began, ms=seconds * 1000) for began, seconds in spans]
    assert meters._away(attempts) == pytest.approx(away)


@pytest.mark.usefixtures("_watched")
def test_so_many_models_have_names_and_the_others_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "_named", {("known", "p")})
    monkeypatch.setattr(meters, "_MOST_MODELS", 1)
    call = Call("req_5", "POST /v1/messages", time.monotonic(), status=200)
    call.attempts = [tried(model, "provider_error") for model in ("known", "crowd-1", "crowd-2")] + [tried("crowd-3")]
    accounting.ended(call)
    meters.cooled("crowd-1", "p", "failures")
    alone, together = {"model": "known", "provider": "p"}, {"model": "other", "provider": "other"}
    assert counted("attempts_total", **alone, outcome="provider_error") == 1
    assert counted("attempts_total", **together, outcome="provider_error") == 2
    assert counted("attempts_total", **together, outcome="ok") == 1
    assert counted("fallbacks_total", **together, code="provider_error") == 2
    assert counted("cooldowns_total", **together, reason="failures") == 1
    assert counted("attempt_duration_seconds_count", **together) == 3


def test_every_endpoint_has_a_name_of_its_own() -> None:
    routes = [str(each.pattern) for each in urlpatterns if str(each.pattern).startswith("v1/")]
    assert len(routes) > 10
    for route in routes:
        start, has_name, _ = route.partition("<")
        name = labels.endpoint(f"GET /{start}canary" if has_name else f"GET /{route}")
        assert name == f"/{start}" + ("{name}" if has_name else "")
    for path in ("", "/", "/v1", "/v1/", "/v1/model", "/v1/chat/completions/", "/admin/", "/v2/models"):
        assert labels.endpoint(f"POST {path}") == labels.OTHER, path
    assert (labels.method("GET /"), labels.method("BREW /pot")) == ("GET", "_OTHER")


@pytest.mark.django_db
def test_a_single_process_tells_for_itself(settings: Settings, client: Client) -> None:
    settings.TOKENHUB_METRICS, settings.TOKENHUB_METRICS_TOKEN = True, Hidden("canary-of-the-metrics")
    accounting.ended(Call("req_4", "GET /v1/models", time.monotonic(), status=200))
    assert client.get("/metrics").status_code == 404
    told = client.get("/metrics", headers={"Authorization": "Bearer canary-of-the-metrics"}).content.decode()
    assert 'tokenhub_requests_total{endpoint="/v1/models",status="2xx"}' in told
    assert "# TYPE tokenhub_model_cooling gauge" in told
    assert "tokenhub_workers 1.0" in told
