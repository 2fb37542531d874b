"""`python -m bench.profile`: where a worker's time goes under load, drawn by py-spy as a flame graph."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from bench import gateways, processes
from bench.scenarios import Scenario, chat
from bench.stack import tokenhub

_RATE: Final = 200  # samples a second
_WARM_SECONDS: Final = 2.0
_SCRIPT: Final = re.compile(r"<script.*?</script>|onload=\"[^\"]*\"", re.DOTALL)  # a picture is all that is wanted
# What a worker can be busy with; streams come one after the other, with no pause between their events.
_LOADS: Final = {
    "answers": Scenario("answers", 32),
    "streams": Scenario("streams", 32, stream=True),
    "translated": Scenario("translated", 32, stream=True, client="anthropic"),
}


def spy() -> str:
    """Return where py-spy is; raises `SystemExit` when it is not installed."""
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if found is None:
        sys.exit("py-spy is missing: pip install -r requirements-bench.txt")
    return found


def draw(scenario: Scenario, seconds: float, file: Path) -> None:
    """Record the first worker of a fresh gateway under that load for so many seconds."""
    with gateways.running("tokenhub", tokenhub()) as hub:
        route = hub.routes[scenario.client, scenario.provider]

        def load(lasts: float) -> None:
            processes.load(
                f"{hub.url}{route.path}",
                chat(route.model, scenario.size, stream=scenario.stream),
                connections=scenario.connections,
                seconds=lasts,
                headers=hub.headers,
            )

        load(_WARM_SECONDS)
        beside = threading.Thread(target=load, args=(seconds + _WARM_SECONDS,))
        beside.start()
        worker = processes.children(hub.process)[0]
        command = [spy(), "record", "--pid", str(worker), "--output", str(file), "--rate", str(_RATE)]
        done = subprocess.run([*command, "--duration", f"{seconds:.0f}"], stdout=sys.stderr, check=False)
        beside.join()
    if done.returncode:
        sys.exit("py-spy could not look into the worker: it needs root, or kernel.yama.ptrace_scope=0")
    drawn = _SCRIPT.sub("", file.read_text()).replace(command[0], "py-spy")
    file.write_text(drawn)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__)
    parser.add_argument("--load", choices=_LOADS, default="answers")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("flame.svg"))
    given = parser.parse_args()
    draw(_LOADS[given.load], given.seconds, given.output)
    sys.stdout.write(f"{given.output}\n")


if __name__ == "__main__":
    main()
