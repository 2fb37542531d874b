"""Calls become traces: a span of each call, one of each attempt, sent to a collector that may as well be away."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.collector import Collector, told
from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.server import ROOT, Gateway, model

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def config(provider: ScriptedProvider, other: ScriptedProvider) -> dict[str, Any]:
    """Two models at two providers."""
    return {
        "providers": [
            {"name": "first", "type": "vllm", "base_url": provider.url},
            {"name": "second", "type": "vllm", "base_url": other.url},
        ],
        "models": [model("best", "first", weight=90), model("next", "second")],
    }


@contextmanager
def traced(folder: Path, rows: Mapping[str, Any], url: str, **more: str) -> Iterator[Gateway]:
    """A gateway that sends its spans there, soon."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"} | more
    with Gateway(folder, rows, **settings) as hub:
        yield hub


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that is there."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def hub(
    collector: Collector,
    provider: ScriptedProvider,
    other: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A gateway of two workers that is traced."""
    rows = config(provider, other)
    with traced(tmp_path_factory.mktemp("traced"), rows, collector.url, WEB_CONCURRENCY="2") as running:
        yield running


def asked(hub: Gateway, traceparent: str = "", **body: Any) -> requests.Response:
    whole = {"model": "best", "messages": [{"role": "user", "content": "canary-prompt"}]} | body
    headers = {"traceparent": traceparent, "Authorization": "Bearer canary-key", "X-Extra": "canary-header"}
    return requests.post(f"{hub.url}/v1/chat/completions", json=whole, headers=headers, timeout=30)


def test_it_works(hub: Gateway, collector: Collector) -> None:
    before = time.time_ns()
    answer = asked(hub, f"00-{TRACE}-{PARENT}-01")
    call, (attempt,) = collector.trace_of(hub, answer)
    assert (call.kind, call.name) == (Span.SPAN_KIND_SERVER, "POST /v1/chat/completions")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert told(call) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "tokenhub.request_id": answer.headers["x-tokenhub-request-id"],
        "tokenhub.stream": False,
        "tokenhub.attempts": 1,
        "tokenhub.fallbacks": 0,
        "tokenhub.model": "best",
        "tokenhub.provider": "first",
    }
    assert (attempt.kind, attempt.name, attempt.trace_id) == (Span.SPAN_KIND_CLIENT, "chat best", call.trace_id)
    has = told(attempt)
    assert [each.string_value for each in has.pop("gen_ai.response.finish_reasons").values] == ["stop"]
    assert has.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert has == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "first",
        "gen_ai.request.model": "best",
        "gen_ai.response.model": "best",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
        "tokenhub.outcome": "ok",
        "tokenhub.attempt": 1,
    }
    assert before <= call.start_time_unix_nano <= attempt.start_time_unix_nano
    assert attempt.start_time_unix_nano < attempt.end_time_unix_nano <= call.end_time_unix_nano + 1_000_000
    assert "tokenhub" in collector.services
    assert hub.call_of(answer)["trace_id"] == TRACE


def test_a_fallback_is_seen(hub: Gateway, collector: Collector, provider: ScriptedProvider) -> None:
    provider.play(error(500, "canary-words"))
    answer = asked(hub, stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    call, (failed, answered) = collector.trace_of(hub, answer)
    assert (told(call)["tokenhub.fallbacks"], told(call)["tokenhub.model"]) == (1, "next")
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert (told(failed)["error.type"], told(failed)["http.response.status_code"]) == ("provider_error", 500)
    assert (told(answered)["gen_ai.request.model"], told(answered)["tokenhub.attempt"]) == ("next", 2)
    assert failed.end_time_unix_nano <= answered.start_time_unix_nano + 1_000_000


def test_what_fails_is_told(hub: Gateway, collector: Collector) -> None:
    answer = asked(hub, model="canary-model")
    call, attempts = collector.trace_of(hub, answer)
    assert attempts == []
    assert (told(call)["error.type"], told(call)["http.response.status_code"]) == ("model_not_found", 404)
    assert call.status.code == Status.STATUS_CODE_UNSET  # the caller's own doing


@pytest.mark.parametrize(
    "header",
    [
        "",
        "canary-parent",
        f"00-{TRACE}-{PARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
    ],
)
def test_what_names_no_parent_begins_a_trace(hub: Gateway, collector: Collector, header: str) -> None:
    call, _ = collector.trace_of(hub, asked(hub, header))
    assert call.parent_span_id == b""
    assert call.trace_id.hex() not in {TRACE, "0" * 32}


def test_a_caller_who_does_not_sample_is_not_traced(hub: Gateway, collector: Collector) -> None:
    unsampled = asked(hub, f"00-{TRACE}-{PARENT}-00")
    collector.trace_of(hub, asked(hub))
    collector.trace_of(hub, asked(hub))
    assert hub.call_of(unsampled)["trace_id"] == TRACE
    ids = [told(span).get("tokenhub.request_id") for span in collector.spans()]
    assert unsampled.headers["x-tokenhub-request-id"] not in ids


def test_nothing_of_a_caller_is_in_a_span(hub: Gateway, collector: Collector) -> None:
    collector.trace_of(hub, asked(hub, model="canary-model", user="canary-user", session="canary-session"))
    requests.request("CANARY", f"{hub.url}/v1/canary-path?q=canary-query", timeout=30)
    collector.trace_of(hub, requests.get(f"{hub.url}/v1/models/canary-name", timeout=30))
    assert re.findall(rb"(?i)canary[\w-]*", b"".join(collector.raw)) == []


def test_what_waits_is_sent_at_the_end(
    tmp_path: Path, provider: ScriptedProvider, other: ScriptedProvider, collector: Collector
) -> None:
    with traced(tmp_path, config(provider, other), collector.url, OTEL_BSP_SCHEDULE_DELAY="600000") as hub:
        answer = asked(hub)
        assert answer.status_code == 200
    call, attempts = collector.trace_of(hub, answer)
    assert call.name
    assert len(attempts) == 1


def test_a_collector_that_says_nothing_costs_nobody_anything(
    tmp_path: Path, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    limits = {"OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with traced(tmp_path, config(provider, other), url, **limits) as hub:
            assert [asked(hub).status_code for _ in range(40)] == [200] * 40
    assert "Queue full" in hub.log
    assert hub.log.count('"logger":"opentelemetry') < 10


@pytest.mark.parametrize(("endpoint", "is_loaded"), [("", False), ("http://127.0.0.1:1", True)])
def test_without_a_collector_no_part_that_traces_is_loaded(hub: Gateway, endpoint: str, *, is_loaded: bool) -> None:
    """The client of Redis loads those that measure wherever they are installed."""
    parts = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf")
    shown = f"import sys, tokenhub_site.wsgi; print([name in sys.modules for name in {parts}])"
    run = subprocess.run(
        [sys.executable, "-c", shown],
        cwd=ROOT,
        env=hub.environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == str([is_loaded] * len(parts))
