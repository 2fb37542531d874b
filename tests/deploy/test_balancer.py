"""The balancer as it is configured, before two gateways: streams flow, and a gateway's end is seen by nobody."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml

from tests.accounts.load import CHAT, Answered, config, steadily
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import HANG, Cut, Script
from tests.server import ROOT, Gateway, free_port, wait_for

FOLDER = ROOT / "deploy" / "compose"
SLOW = Script(chat_stream([" x"] * 6), delay_between_pieces=0.3)


@dataclass
class Balancer:
    """HAProxy before two gateways."""

    url: str
    port: int
    health_port: int
    hubs: tuple[Gateway, Gateway]
    log_file: Path

    @property
    def log(self) -> str:
        """A line for each request: among others the backend, a slash and the gateway."""
        return self.log_file.read_text()

    def chat(self, *, stream: bool = False) -> requests.Response:
        """Ask through it, over a connection of its own."""
        headers = {"Connection": "close"}
        url = f"{self.url}/v1/chat/completions"
        return requests.post(url, json=CHAT | {"stream": stream}, headers=headers, stream=stream, timeout=60)


@pytest.fixture(scope="module")
def balancer(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """Both gateways keep a database of their own, since it is not what they share that is asked here."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two", "balancer")]
    hubs = (Gateway(folders[0], config(provider)), Gateway(folders[1], config(provider)))
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        list(pool.map(running.enter_context, hubs))
        with balancing(folders[2], hubs) as found:
            yield found


@contextmanager
def balancing(folder: Path, hubs: tuple[Gateway, Gateway], *, proxy: str = "") -> Iterator[Balancer]:
    """Run HAProxy before gateways that run; `proxy` is added where docs/scaling.md has it, for one that ends TLS."""
    port, health_port = free_port(), free_port()
    places = {
        "gateway1:8080": hubs[0].port,
        "gateway2:8080": hubs[1].port,
        "bind :8080": port,
        "127.0.0.1:8404": health_port,
    }
    text = re.sub(r"maxconn \d+", "maxconn 400", (FOLDER / "haproxy.cfg").read_text())  # a machine may allow few files
    for place, number in places.items():
        assert place in text
        text = text.replace(place, re.sub(r"\S*:\d+", f"127.0.0.1:{number}", place))
    text = re.sub(r"(set-header X-Forwarded-Proto .*)", rf"\1 {proxy}", text)
    (folder / "haproxy.cfg").write_text(text)
    log_file = folder / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(["haproxy", "-W", "-db", "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log)
        try:
            found = Balancer(f"http://127.0.0.1:{port}", port, health_port, hubs, log_file)
            assert wait_for(lambda: is_balancing(found), 20), found.log
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def is_balancing(balancer: Balancer) -> bool:
    """Whether it answers the health check of its container."""
    service = yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]["balancer"]
    _, *command = service["healthcheck"]["test"]
    asked = [part.replace("8404", str(balancer.health_port)) for part in command]
    return subprocess.run(asked, stderr=subprocess.DEVNULL, check=False, timeout=20).returncode == 0


def test_it_works(balancer: Balancer, provider: ScriptedProvider) -> None:
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(FOLDER / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    alerts = [line for line in checked.stderr.splitlines() if "WARNING" in line and "could not resolve" not in line]
    assert alerts == []
    for _ in range(4):
        assert balancer.chat().status_code == 200
    assert all(f"ready/gateway{number} " in balancer.log for number in (1, 2))
    assert len(provider.requests) == 4


def test_a_stream_flows_as_it_comes(balancer: Balancer, provider: ScriptedProvider) -> None:
    provider.default = SLOW
    with balancer.chat(stream=True) as told:
        seen = [time.monotonic() for line in told.iter_lines(chunk_size=1) if b'" x"' in line]
    assert len(seen) == 6
    assert seen[-1] - seen[0] > 1  # they would all be there at once, had they been kept back


def test_a_caller_who_leaves_is_told_to_the_gateway(balancer: Balancer, provider: ScriptedProvider) -> None:
    provider.default = Script(chat_stream([" x"] * 6), cut=Cut(after=3, how="silence"))
    with balancer.chat(stream=True) as told:
        assert next(told.iter_lines(chunk_size=1))
    provider.wait_until(lambda: len(provider.closed_early) == 1, 20)
    assert provider.closed_early[0].after < 20


def test_what_was_sent_is_not_sent_again(balancer: Balancer, provider: ScriptedProvider) -> None:
    provider.default = HANG
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(balancer.chat)
        provider.wait_until(lambda: len(provider.requests) == 1, 20)
        workers = {hub: worker_of(hub) for hub in balancer.hubs}
        for worker in workers.values():
            os.kill(worker, signal.SIGKILL)
        assert asking.result().status_code == 502
    assert len(provider.requests) == 1
    provider.start_afresh()
    assert wait_for(lambda: all(worker_of(hub) not in {0, workers[hub]} for hub in balancer.hubs), 20)
    assert wait_for(lambda: all(balancer.chat().status_code == 200 for _ in range(4)), 20)


def worker_of(hub: Gateway) -> int:
    """The process id of a gateway's only worker; 0 while there is none."""
    children = Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    return int(children[0]) if children else 0


def test_the_update_of_a_gateway_is_seen_by_nobody(balancer: Balancer, provider: ScriptedProvider) -> None:
    provider.play(*[Script(chat_stream([" x"] * 10), delay_between_pieces=0.3)] * 8)
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(lambda: balancer.chat(stream=True).content) for _ in range(8)]
        provider.wait_until(lambda: len(provider.requests) == 8, 20)
        with steadily(lambda: asked(balancer), a_second=20) as answers:
            updated = balancer.hubs[0]
            assert updated.stop() == 0
            updated.__enter__()
            assert wait_for(updated.calls, 20)  # its log is new: it is asked again
        told = [each.result() for each in streams]
    assert all(content.endswith(b"data: [DONE]\n\n") for content in told)
    assert {each.status for each in answers} == {200}
    assert len(provider.requests) == len(answers) + len(streams)


def asked(balancer: Balancer) -> Answered:
    """Ask through the balancer, and note when."""
    began = time.monotonic()
    told = balancer.chat()
    return Answered(told.status_code, began, time.monotonic(), told)


def test_nobody_but_a_proxy_that_is_named_can_say_that_there_was_tls(
    provider: ScriptedProvider, tmp_path: Path
) -> None:
    said = {"X-Forwarded-Proto": "https"}
    documented = re.search(r"`unless \{ src \S+ \}`", (ROOT / "docs" / "scaling.md").read_text())
    assert documented
    with Gateway(tmp_path, config(provider), TOKENHUB_BEHIND_TLS="true") as hub:
        assert models(hub.url, said) == 200
        with balancing(tmp_path, (hub, hub)) as found:
            assert wait_for(lambda: models(found.url, {}) != 503, 20)
            assert (models(found.url, {}), models(found.url, said)) == (301, 301)
        named = re.sub(r"src \S+", "src 127.0.0.1", documented[0].strip("`"))
        with balancing(tmp_path, (hub, hub), proxy=named) as found:
            assert wait_for(lambda: models(found.url, {}) != 503, 20)
            assert (models(found.url, {}), models(found.url, said)) == (301, 200)


def models(url: str, headers: dict[str, str]) -> int:
    """Return the status of a list of models."""
    return requests.get(f"{url}/v1/models", headers=headers, allow_redirects=False, timeout=60).status_code


def test_where_none_is_ready_those_that_live_answer(balancer: Balancer) -> None:
    """Their databases are another key's, which a gateway survives until it is restarted; an outage is like it."""
    alien = "from vault.models import KeyCheck; KeyCheck.objects.create(key_id='0badc0de', value='0' * 32)"
    for hub in balancer.hubs:
        assert hub.run("shell", "-c", alien).returncode == 0
    statuses = []
    said = len(balancer.log)

    def answered_by_the_living() -> bool:
        statuses.append(balancer.chat().status_code)
        return " living/gateway" in balancer.log[said:]

    assert wait_for(answered_by_the_living, 30)
    assert set(statuses) == {200}
