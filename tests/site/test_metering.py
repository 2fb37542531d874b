"""Workers count in files by their places, and the folder of these lasts as long as its gunicorn."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.server import ROOT
from tokenhub_site import metering

BEGUN = """
import os, sys
from tokenhub_site import metering
metering.begin(None)
print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
sys.stdin.read()
"""


def begun() -> tuple["subprocess.Popen[str]", Path]:
    """A process that has made a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_it_works() -> None:
    lives, kept = begun()
    dies, left = begun()
    odd = Path(tempfile.mkdtemp(prefix="tokenhub-metrics-", dir=kept.parent))
    try:
        assert kept.is_dir()
        assert left.is_dir()
        dies.kill()
        dies.wait()
        third, new = begun()
        assert (kept.is_dir(), left.is_dir(), new.is_dir(), odd.is_dir()) == (True, False, True, True)
        third.communicate()
    finally:
        lives.communicate()
        for folder in (kept, left, new, odd):
            shutil.rmtree(folder, ignore_errors=True)
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_worker_takes_the_first_place_that_is_free() -> None:
    others: list[SimpleNamespace] = []
    for place in range(3):
        worker = SimpleNamespace()
        metering.seat(worker, others)
        assert worker.place == place
        others.append(worker)
    del others[1]
    worker = SimpleNamespace()
    metering.seat(worker, others)
    assert worker.place == 1


FULL = """
import logging, os, sys
from types import SimpleNamespace
from prometheus_client import Counter, values
from tokenhub_site import metering
worker = SimpleNamespace(place=0, log=logging.getLogger())
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
metering.join(worker)
print(values.ValueClass.__name__, Counter("any", "").inc())
metering.leave(SimpleNamespace(WORKERS={}, num_workers=0), worker)
"""


def test_a_worker_without_room_counts_for_itself(tmp_path: Path) -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", FULL, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        for folder in (tmp_path, tmp_path / "gone")
    ]
    assert [each.stdout.split()[0] for each in told] == ["MmapedValue", "MutexValue"]
    assert "metrics are of one worker each" in told[1].stderr


def test_only_a_worker_that_is_missed_has_died() -> None:
    worker, server = SimpleNamespace(place=0), SimpleNamespace(WORKERS={1: None, 2: None}, num_workers=2)
    metering.leave(server, worker)  # two others had taken over before it was asked to end
    metering.seat(worker, [])
    assert metering.replaced() == 0
    del server.WORKERS[1]
    metering.leave(server, worker)
    metering.seat(worker, [])
    assert metering.replaced() == 1
    metering.seat(worker, [])
    assert metering.replaced() == 0


CROWD = """
import logging, os, resource, sys
from types import SimpleNamespace
from django.conf import settings
from tokenhub_site import metering
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
metering.join(SimpleNamespace(place=0, log=logging.getLogger()))
resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))  # as if the memory were full
settings.configure(TOKENHUB_METRICS=True)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from gateway import meters
from gateway.exchange import Attempt, Call
meters.begin()
for number in range(90):
    call = Call(f"req_{number}", "POST /v1/messages", 0.0, stream=True, status=200)
    call.attempts = [Attempt(f"a-model-of-some-length-{number}", "provider", ms=1.0, ttft_ms=1.0)]
    for _ in range(2):
        meters.ended(call)
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def test_no_memory_for_more_labels_ends_no_worker_and_loses_no_count(tmp_path: Path) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": ""}
    told = subprocess.run(
        [sys.executable, "-c", CROWD, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    for name in ("attempts_total", "time_to_first_token_seconds_count", "attempt_duration_seconds_count"):
        lines = [line for line in told.stdout.splitlines() if line.startswith(f"tokenhub_{name}")]
        assert sum(float(line.split()[-1]) for line in lines) == 180, name
    assert 'tokenhub_time_to_first_token_seconds_count{model="other",provider="other"}' in told.stdout
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in tmp_path.glob("*.db"))


def test_a_file_has_an_end_and_keeps_room_for_the_others(tmp_path: Path) -> None:
    file = tmp_path / "counter_0.db"
    metering._make_room(file, 32 * 1024)
    numbers: Any = metering._Reserved(str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(OSError, match="No space"):
        for number in range(20_000):
            numbers.write_value(json.dumps([f"{number:0100}"]), 1.0, 0.0)
    for number in range(100):
        numbers.write_value(json.dumps([f"{number:050}", "other"]), 1.0, 0.0)
    numbers.close()
    assert file.stat().st_size == 1024 * 1024
