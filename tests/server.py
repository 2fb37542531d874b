"""The gateway as a user starts it: a real gunicorn on a free port, with a data directory and a key of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import orjson
import requests

from vault.crypto import generate_key

ROOT = Path(__file__).resolve().parent.parent
_PORTS = range(10_000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
_START_SECONDS = 90.0  # two that start at once on an empty database wait for each other, on a busy machine for long
_STOP_SECONDS = 20.0


def free_port() -> int:
    """Return a port of the loopback that is free now, and that the kernel gives to no connection that goes out."""
    while True:
        port = secrets.choice(_PORTS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def model(model_id: str, provider: str, **more: Any) -> dict[str, Any]:
    """Return a model of a configuration file that fits most tests."""
    return {"id": model_id, "provider": provider, "weight": 50, "cost_per_1k": 0.01, "context_size": 8192} | more


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """Return whether a condition came true within so many seconds."""
    ends = time.monotonic() + seconds
    while not (met := bool(condition())) and time.monotonic() < ends:
        time.sleep(0.02)
    return met


@cache
def _tables() -> bytes:
    """Return a database in which all tables are made and nothing else is: the slowest part of a start."""
    with TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "TOKENHUB_ENV_FILE": "", "TOKENHUB_DATA_DIR": folder}
        environment |= {"TOKENHUB_ENCRYPTION_KEY": generate_key()}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        return Path(folder, "tokenhub.sqlite3").read_bytes()


class Gateway:
    """
    A running gateway; used as a context manager. `url` is its address, `log` what it has said so far.

    Where a test names no DATABASE_URL and no TOKENHUB_DATA_DIR it finds the tables of its database made.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.session = requests.Session()
        self._log = folder / "gateway.log"
        arguments = ["--host", "127.0.0.1", "--port", str(self.port)]
        if config is not None:
            (folder / "config.json").write_bytes(orjson.dumps(config))
            arguments += ["-config", str(folder / "config.json")]
        self.command = [sys.executable, "-m", "tokenhub_site.cli", *arguments]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TOKENHUB_ENV_FILE": "",
            "TOKENHUB_DATA_DIR": str(folder / "var"),
            "TOKENHUB_ENCRYPTION_KEY": generate_key(),
            "WEB_CONCURRENCY": "1",
            "TOKENHUB_LAME_DUCK_SECONDS": "0",
            "TOKENHUB_COOLDOWNS": "false",  # one test's failures must not keep the next from a model
            **{name: os.environ[name] for name in os.environ if name.startswith("COVERAGE")},
            **environment,
        }

    def _bring_tables(self) -> None:
        own = self.folder / "var"
        if self.environment.get("DATABASE_URL") or self.environment["TOKENHUB_DATA_DIR"] != str(own) or own.exists():
            return
        own.mkdir(mode=0o700)
        (own / "tokenhub.sqlite3").write_bytes(_tables())
        (own / "tokenhub.sqlite3").chmod(0o600)

    def __enter__(self) -> Self:
        self._bring_tables()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends and self._process.poll() is None:
            try:
                if requests.get(f"{self.url}/health/live", timeout=5).ok:
                    return self
            except (requests.ConnectionError, requests.Timeout):  # a busy machine lets workers start slowly
                time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the gateway did not start:\n{self.log}")

    def __exit__(self, *_: object) -> None:
        """Stop it, and hold that it left in good order: no worker behind, no key in the log."""
        workers = [Path("/proc", child) for child in self._children()]
        code = self.stop()
        assert code == 0, f"the gateway ended in disorder ({code}):\n{self.log}"
        assert [worker for worker in workers if worker.exists()] == []
        keys = self.environment["TOKENHUB_ENCRYPTION_KEY"].split(",")
        assert [key for key in keys if key and key in self.log] == []

    def _children(self) -> list[str]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return children.read_text().split() if children.exists() else []

    @property
    def pid(self) -> int:
        """The process id of gunicorn's arbiter."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything it wrote so far."""
        return self._log.read_text(errors="replace")

    def calls(self) -> list[dict[str, Any]]:
        """Return the log's lines of finished calls."""
        lines = [orjson.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["logger"] == "gateway.calls"]

    def call_of(self, answer: requests.Response) -> dict[str, Any]:
        """Return the log's one line about the call that gave an answer: a stream's is written after its last byte."""
        wanted = answer.headers["x-tokenhub-request-id"]
        assert wait_for(lambda: wanted in [call["request_id"] for call in self.calls()])
        (found,) = (call for call in self.calls() if call["request_id"] == wanted)
        return found

    def post(self, path: str = "/v1/chat/completions", **body: Any) -> requests.Response:
        """Send a chat of one word unless the body says otherwise; a stream is returned unread."""
        whole = {"messages": [{"role": "user", "content": "hello"}]} | body
        return self.session.post(f"{self.url}{path}", json=whole, stream=bool(body.get("stream")), timeout=30)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a management command of the same installation."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
            check=False,
        )

    def _knows(self, token: str) -> bool:
        """Whether the worker that accepts a new connection takes a key, and no other: without any it is open to all."""
        with requests.Session() as one:
            taken, refused = (
                one.get(f"{self.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=20).status_code
                for key in (token, "th_0123456789ab_0")
            )
        return (taken, refused) == (200, 401)

    def key(self, *arguments: str, name: str = "app") -> str:
        """Make a client's key with these arguments of `createkey`, and return it when all workers know it."""
        made = self.run("createkey", "--name", name, *arguments)
        assert made.returncode == 0, made.stderr
        token = made.stdout.strip()
        asked = 4 * int(self.environment["WEB_CONCURRENCY"])
        assert wait_for(lambda: all(self._knows(token) for _ in range(asked)), 20.0)
        return token

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
        return self._process.returncode
