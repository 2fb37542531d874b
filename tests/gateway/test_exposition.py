"""Prometheus reads one answer for all workers, which outlives each of them and names nothing that a caller chose."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.server import ROOT, Gateway, free_port, model, wait_for

TOKEN = "canary-of-the-metrics"
FILES = ROOT / "deploy" / "observability"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def watched(
    provider: ScriptedProvider, other: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway of two workers that tells of itself at its own port and at another."""
    config = {
        "providers": [
            {"name": "first", "type": "vllm", "base_url": provider.url},
            {"name": "second", "type": "vllm", "base_url": other.url},
        ],
        "models": [
            model("best", "first", weight=90),
            model("next", "second"),
            model("off", "second", enabled=False),
        ],
    }
    settings = {
        "WEB_CONCURRENCY": "2",
        "TOKENHUB_COOLDOWNS": "true",
        "TOKENHUB_METRICS_TOKEN": TOKEN,
        "TOKENHUB_METRICS_BIND": f"127.0.0.1:{free_port()}",
        "TOKENHUB_HUB_LAG_SECONDS": "0.3",
    }
    with Gateway(tmp_path_factory.mktemp("watched"), config, **settings) as running:
        assert wait_for(lambda: total(read(running), "tokenhub_workers") == 2, 20)
        yield running


def text(hub: Gateway) -> str:
    answer = requests.get(f"http://{hub.environment['TOKENHUB_METRICS_BIND']}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.text


def read(hub: Gateway) -> Samples:
    """All samples by their names and labels."""
    families = text_string_to_metric_families(text(hub))
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(value for (each, has), value in samples.items() if each == name and labels.items() <= dict(has).items())


def one(hub: Gateway, **body: Any) -> requests.Response:
    """Ask over a connection of its own, so that any worker may answer."""
    whole = {"model": "best", "messages": [{"role": "user", "content": "canary-prompt"}]} | body
    return requests.post(f"{hub.url}/v1/chat/completions", json=whole, timeout=30)


def test_it_works(watched: Gateway, provider: ScriptedProvider) -> None:
    before = read(watched)
    for _ in range(10):
        assert one(watched).status_code == 200
    assert one(watched, stream=True).text.endswith("data: [DONE]\n\n")
    provider.play(error(500, "down"))
    assert one(watched).status_code == 200  # by the next
    assert one(watched, model="canary-model").status_code == 404

    def rise(name: str, **labels: str) -> float:
        return total(read(watched), name, **labels) - total(before, name, **labels)

    assert wait_for(lambda: rise("tokenhub_requests_total", endpoint="/v1/chat/completions") == 13)
    assert rise("tokenhub_requests_total", status="2xx") == 12
    assert rise("tokenhub_errors_total", code="model_not_found") == 1
    assert rise("tokenhub_attempts_total", model="best", provider="first", outcome="ok") == 11
    assert rise("tokenhub_attempts_total", model="best", outcome="provider_error") == 1
    assert rise("tokenhub_fallbacks_total", model="best", provider="first", code="provider_error") == 1
    assert rise("tokenhub_tokens_total", kind="input") == 12 * 7
    assert rise("tokenhub_cost_usd_total") == pytest.approx(12 * 10 * 0.01 / 1000)
    assert rise("tokenhub_request_duration_seconds_count", endpoint="/v1/chat/completions") == 13
    assert rise("tokenhub_time_to_first_token_seconds_count", model="best") == 1
    assert rise("tokenhub_attempt_duration_seconds_count") == 13
    assert rise("tokenhub_overhead_seconds_count") == 12
    assert 0 < rise("tokenhub_overhead_seconds_sum") < rise("tokenhub_request_duration_seconds_sum")


def test_only_who_shows_the_token_reads_it_at_the_port_of_the_gateway(watched: Gateway) -> None:
    for shown in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer ", "Bearer é"):
        headers = {"Authorization": shown.encode()} if shown not in {"", TOKEN} else {}
        assert requests.get(f"{watched.url}/metrics", headers=headers, timeout=30).status_code == 404, shown
    told = requests.get(f"{watched.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert "tokenhub_requests_total" in told.text


def test_nothing_else_is_served_at_the_other_port(watched: Gateway) -> None:
    own = f"http://{watched.environment['TOKENHUB_METRICS_BIND']}"
    for path, status in (("/health", 200), ("/health/ready", 200), ("/v1/models", 404), ("/admin/", 404), ("/", 404)):
        assert requests.get(f"{own}{path}", timeout=30).status_code == status, path
    assert requests.post(f"{own}/v1/chat/completions", json={}, timeout=30).status_code == 404


def test_a_gateway_that_nobody_watches_has_no_metrics(gateway: Gateway) -> None:
    for token in ("", "Bearer ", "Bearer x"):
        headers = {"Authorization": token} if token else {}
        assert requests.get(f"{gateway.url}/metrics", headers=headers, timeout=30).status_code == 404


def test_no_label_is_what_a_caller_chose(watched: Gateway) -> None:
    for path in ("/v1/canary-path", "/v1/models/canary-name", "/v1/decisions/canary-id", "/v1/models?x=canary-query"):
        requests.get(f"{watched.url}{path}", headers={"User-Agent": "canary-agent"}, timeout=30)
    requests.request("CANARY", f"{watched.url}/v1/models", timeout=30)
    one(watched, model="canary-model", user="canary-user", session="canary-session")
    one(watched)
    assert wait_for(lambda: total(read(watched), "tokenhub_requests_total", endpoint="/v1/models/{name}") >= 1)
    told = text(watched)
    assert re.findall(r"canary\S*|req_\S*", told, re.IGNORECASE) == []
    assert 'endpoint="other"' in told


def test_a_model_that_cools_is_told_by_every_worker(watched: Gateway, other: ScriptedProvider) -> None:
    other.play(*[error(429, "slow down", headers={"Retry-After": "60"})] * 4)
    body = {"model": "next", "fallback": False}
    assert wait_for(lambda: one(watched, **body).status_code == 429)
    assert wait_for(
        lambda: all(total(read(watched), "tokenhub_model_cooling", model="next") == 1 for _ in range(6)), 10
    )
    assert total(read(watched), "tokenhub_model_cooling", model="best") == 0
    told = {dict(labels)["model"] for name, labels in read(watched) if name == "tokenhub_model_cooling"}
    assert told == {"best", "next"}  # not the one that nobody may call: the least of all is to say that all cool
    assert total(read(watched), "tokenhub_cooldowns_total", model="next", reason="rate_limit") >= 1


def test_a_hub_that_is_held_is_told(watched: Gateway) -> None:
    worker = int(watched._children()[0])
    os.kill(worker, signal.SIGSTOP)  # as if one greenlet held it
    try:
        assert not wait_for(lambda: False, 0.7)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert wait_for(lambda: total(read(watched), "tokenhub_hub_lag_max_seconds") >= 0.5, 10)
    assert wait_for(lambda: "all requests of this worker stood still" in watched.log)


def test_a_worker_that_dies_takes_no_count_with_it_and_leaves_no_state(watched: Gateway) -> None:
    before = read(watched)
    mapped = Path(f"/proc/{watched._children()[0]}/maps").read_text()
    folder = Path(re.search(r"/\S*/tokenhub-metrics-[^/\s]+", mapped)[0])  # type: ignore[index]
    for _ in range(2):
        dying = watched._children()[0]
        os.kill(int(dying), signal.SIGKILL)
        assert wait_for(lambda: dying not in watched._children() and len(watched._children()) == 2, 20)  # noqa: B023
        assert wait_for(lambda: requests.get(f"{watched.url}/health", timeout=30).ok, 20)
        assert wait_for(lambda: total(read(watched), "tokenhub_workers") == 2, 30)
    after = read(watched)
    for name in ("tokenhub_requests_total", "tokenhub_tokens_total", "tokenhub_request_duration_seconds_count"):
        assert total(after, name) >= total(before, name) > 0, name
    deaths = [total(samples, "tokenhub_worker_deaths_total") for samples in (before, after)]
    assert deaths == [0, 2]  # that two workers began is none
    assert len(list(folder.glob("*.db"))) <= 8  # of two places, however many workers there were


def expressions() -> Iterator[str]:
    """The expressions of the dashboard and of the alerts."""
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["definition"] for each in dashboard["templating"]["list"] if "definition" in each)
    alerts = yaml.safe_load((FILES / "alerts.yaml").read_text())
    yield from (rule["expr"] for group in alerts["groups"] for rule in group["rules"])


def names(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\btokenhub_\w+", expression))


def labels_of(hub: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> dict[str, set[str]]:
    """The labels of everything that is told once everything has happened that is counted."""
    one(hub, stream=True)
    one(hub, model="canary-model")
    provider.play(error(429, "slow down", headers={"Retry-After": "1"}))
    one(hub)
    other.start_afresh()
    needed = {name for expression in expressions() for name in names(expression)}
    assert wait_for(lambda: needed <= {name for name, _ in read(hub)}, 10), needed - {name for name, _ in read(hub)}
    labels: dict[str, set[str]] = {}
    for name, has in read(hub):
        labels.setdefault(name, set()).update(label for label, _ in has)
    return labels


def test_the_dashboard_and_the_alerts_name_what_there_is(
    watched: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    labels = labels_of(watched, provider, other)
    for expression in expressions():
        used = {name for found in re.findall(r"\bby \(([^)]*)\)", expression) for name in re.split(r",\s*", found)}
        used |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=(?!=))\s*\"", expression))
        for metric in names(expression):
            assert used - {"job", "instance"} <= labels[metric], expression
    shown = {name for expression in expressions() for name in names(expression)}
    ends = ("_bucket", "_sum", "_count")
    assert {name for name in labels if not name.endswith(ends)} - shown == set()


def test_the_table_of_the_document_is_what_there_is(
    watched: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    told = re.findall(r"^\| `(tokenhub_\w+)` \| ([^|]*)\|", (ROOT / "docs/observability.md").read_text(), re.MULTILINE)
    table = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in told}
    found = labels_of(watched, provider, other)
    plain = {re.sub(r"_(bucket|sum|count)$", "", name): labels - {"le"} for name, labels in found.items()}
    assert table == plain


def test_the_alerts_are_rules(tmp_path: Path) -> None:
    groups = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), rule
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule
        assert rule["annotations"]["summary"].endswith("."), rule
        assert balanced(rule["expr"]), rule
    promtool = shutil.which("promtool")
    if promtool:
        subprocess.run([promtool, "check", "rules", str(FILES / "alerts.yaml")], check=True, capture_output=True)


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert not any(overlap(one["gridPos"], two["gridPos"]) for one in panels for two in panels if one is not two)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]
        assert all(balanced(target["expr"]) for target in panel.get("targets", ()))


def overlap(one: dict[str, int], two: dict[str, int]) -> bool:
    """Whether two panels lie on each other."""
    return all(one[at] < two[at] + two[size] and two[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h")))


def balanced(expression: Iterable[str]) -> bool:
    """Whether every bracket is closed by its like."""
    pairs, open_ones = {")": "(", "]": "[", "}": "{"}, [""]
    for sign in expression:
        if sign in pairs.values():
            open_ones.append(sign)
        elif sign in pairs and open_ones.pop() != pairs[sign]:
            return False
    return open_ones == [""]
