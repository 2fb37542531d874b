"""`python -m bench`: measures gateways in turn, several rounds, and prints medians with minimum and maximum."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import orjson

from bench import chart, gateways, growth, loops, processes, report, rows
from bench.gateways import Gateway
from bench.scenarios import QUICK, SCENARIOS, Figures, Scenario, chat, measure

_PACKAGES: Final = ("django", "djangorestframework", "gunicorn", "gevent", "geventhttpclient", "requests")


@dataclass(frozen=True)
class Plan:
    """What a round measures; `seconds` at 32 connections, `pause` in seconds between two pieces of a stream."""

    scenarios: Sequence[Scenario] = SCENARIOS
    sizes: Sequence[growth.Size] = growth.SIZES
    workers: Sequence[int] = growth.WORKERS
    seconds: float = 3.0
    pause: float = 0.04


_QUICK: Final = Plan(QUICK, growth.QUICK, (), seconds=0.4, pause=0.005)


def of_gateway(name: str, gateway: Gateway, plan: Plan, lost: list[str]) -> Figures:
    """Yield all figures of a gateway once, from a fresh start."""
    with gateways.running(name, gateway, pause=plan.pause) as hub:
        yield "start to ready, s", hub.ready_seconds
        route = hub.routes["openai", "openai"]
        headers = {**route.headers, **hub.headers}
        url = f"{hub.url}{route.path}"
        first = processes.load(url, chat(route.model), connections=1, seconds=30, requests=1, headers=headers)
        yield "start to the first answer, s", hub.ready_seconds + first.whole_ms[0] / 1000
        processes.load(url, chat(route.model), connections=8, seconds=plan.seconds / 3, headers=headers)  # warm
        yield "memory at rest, MB", processes.memory_mb(hub.process, "VmRSS")
        for scenario in plan.scenarios:
            if name != rows.DIRECT or not scenario.stream:
                yield from surviving(measure(scenario, hub, plan.seconds), f"{name}, {scenario.told}", lost)


def of_tokenhub(plan: Plan) -> Figures:
    """Yield what is measured of TokenHub alone."""
    for size in plan.sizes:
        yield from growth.measured(size, plan.seconds)
    for workers in plan.workers:
        yield from growth.by_workers(workers, plan.seconds)


def surviving(figures: Figures, name: str, lost: list[str]) -> Figures:
    """Yield figures until there are no more, or until they cannot be had, which is noted: the others go on."""
    try:
        yield from figures
    except (RuntimeError, OSError) as error:
        lost.append(f"{name}: {error}")
        sys.stderr.write(f"{lost[-1]}\n")


def measured(
    contestants: Mapping[str, Gateway], plan: Plan, rounds: int, lost: list[str]
) -> dict[str, dict[str, list[float]]]:
    """Measure all in turn, so that what the machine does besides hits all of them, as often as there are rounds."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in contestants}
    for number in range(1, rounds + 1):
        turns = [(name, of_gateway(name, gateway, plan, lost)) for name, gateway in contestants.items()]
        for name, figures in [*turns, (rows.TOKENHUB, of_tokenhub(plan))]:
            sys.stderr.write(f"round {number} of {rounds}: {name}\n")
            for figure, value in surviving(figures, name, lost):
                found[name][figure].append(value)
    return found


def machine(versions: Mapping[str, str]) -> dict[str, str]:
    """Return what the figures depend on besides the gateways."""
    return {
        "cores": str(len(processes.CORES)),
        "load average": f"{os.getloadavg()[2]:.1f}",
        "python": platform.python_version(),
        "loop of load and provider": loops.NAME,
        **{package: metadata.version(package) for package in _PACKAGES},
        **versions,
    }


def note() -> str:
    """Return what this machine cannot show."""
    if len(processes.CORES) > 2:
        return ""
    return "Two cores: a second worker shares one with load and provider, so it cannot double the requests a second.\n"


def slow_streams(lost: list[str]) -> str:
    """Return what `bench.slow_streams` prints of 10,000 streams."""
    command = [sys.executable, "-m", "bench.slow_streams"]
    done = subprocess.run(command, cwd=processes.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lost.append("10,000 slow streams: not all of them completed")
    return done.stdout


def parsed() -> argparse.Namespace:
    """Return what the command asks for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--peers", default="", metavar="A,B", help="other gateways as well: their names, or `all`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="for each measurement at 32 connections")
    parser.add_argument("--full", action="store_true", help="10,000 slow streams as well")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run at all?")
    home = processes.ROOT / "var" / "bench"
    parser.add_argument("--json", type=Path, default=home / f"{int(time.time())}.json", help="where the figures go")
    parser.add_argument("--chart", type=Path, default=home / "chart.svg", help="where the drawing goes")
    given = parser.parse_args()
    try:
        given.peers = rows.chosen(given.peers)
    except ValueError as error:
        parser.error(str(error))
    return given


def main() -> None:
    """Measure, print and write."""
    given = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # an exception, so that children end too
    contestants = rows.rows(given.peers)
    versions = {name: gateways.install(name, contestants[name]) for name in given.peers}
    plan = _QUICK if given.quick else Plan(seconds=given.seconds)
    lost: list[str] = []
    found = report.with_added(measured(contestants, plan, 1 if given.quick else given.rounds, lost))
    about = machine(versions)
    slow = slow_streams(lost) if given.full else ""
    sys.stdout.write(", ".join(f"{name} {version}" for name, version in about.items()) + "\n\n")
    sys.stdout.writelines(f"{line}\n" for line in report.tables(found))
    sys.stdout.write(note() if plan.workers else "")
    sys.stdout.writelines(f"{line}\n" for line in [*lost, slow])
    for file in (given.json, given.chart):
        file.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": about, "figures": found, "lost": lost, "slow streams": slow.splitlines()}
    given.json.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
    given.chart.write_text(chart.drawn(found))
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
