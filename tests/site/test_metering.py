"""Workers count in files by their places, and the folder of these lasts as long as its gunicorn."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

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
metering.leave(worker)
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
