"""The image and the compose files, checked against the source they name; no container engine is needed."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import resolve

from tokenhub_site.cli import add_arguments
from tokenhub_site.variables import WHOLE

ROOT = Path(__file__).resolve().parent.parent
READERS = r"env\.\w+$|os\.environ\.get$|(whole|decimal|switch|choice)$"  # the functions that read a variable
PRODUCT = ("vault", "registry", "accounts", "gateway", "tokenhub_site")

# How people were told to run TokenHub: the image has to fit it as it stands.
DOCUMENTED_COMPOSE = """
version: '3.8'
services:
  tokenhub:
    build: .
    ports:
      - "8080:8080"
    environment:
      - TOKENHUB_ENCRYPTION_KEY=${TOKENHUB_ENCRYPTION_KEY}
      - OPENAI_API_KEY=${OPENAI_API_KEY}
      - ANTHROPIC_API_KEY=${ANTHROPIC_API_KEY}
    volumes:
      - ./config.json:/config.json:ro
    command: ["/tokenhub", "-config", "/config.json"]
    restart: unless-stopped
"""

# What a start hands to the processes it becomes, and what can only be said outside the file.
NOT_FOR_PEOPLE = {"TOKENHUB_BIND", "TOKENHUB_KEY_VARIABLE", "TOKENHUB_ENV_FILE"}


@dataclass
class Stage:
    """One stage of the Dockerfile: its base and its steps in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Return the arguments of every step of a kind."""
        return [argument for name, argument in self.steps if name == instruction]

    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        return dict(pair.split("=", 1) for argument in self.all("ENV") for pair in argument.split())


def dockerfile() -> list[Stage]:
    """Return the stages of the Dockerfile."""
    stages: list[Stage] = []
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, argument = line.strip().partition(" ")
        if instruction == "FROM":
            stages.append(Stage(argument.split()[0]))
        elif instruction:
            stages[-1].steps.append((instruction, argument))
    return stages


def compose() -> dict[str, Any]:
    """Return the compose file."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def is_sent(name: str) -> bool:
    """Tell whether the build is given a file: the last rule of .dockerignore that fits it, or a folder above it."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.lstrip("!").removeprefix("**/")
        above = [name, *map(str, Path(name).parents)][:-1]
        names = [Path(part).name for part in above] if rule.startswith("**/") else above
        if rule and not rule.startswith("#") and any(fnmatch(part, pattern) for part in names):
            sent = rule.startswith("!")
    return sent


def read_variables() -> set[str]:
    """Return the names of the environment variables that the source reads."""
    names: set[str] = set()
    for path in (ROOT / "tokenhub_site").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and re.match(READERS, ast.unparse(node.func)):
                names |= {str(first.value) for first in node.args[:1] if isinstance(first, ast.Constant)}
    return names


def shown_variables() -> set[str]:
    """Return the names that .env.example shows."""
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


@contextmanager
def serving(status: int) -> Iterator[int]:
    """Answer every GET with a status; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_it_works() -> None:
    build, final = dockerfile()
    assert build.base == final.base
    assert json.loads(final.all("CMD")[-1]) == ["/tokenhub"]
    assert final.all("EXPOSE") == ["8080"]
    assert final.all("STOPSIGNAL") == ["SIGTERM"]


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    build, final = dockerfile()
    for argument in build.all("COPY"):
        for source in argument.split()[:-1]:
            assert (ROOT / source).exists(), f"COPY {source}"
            inside = list((ROOT / source).rglob("*.py")) or [ROOT / source]
            kept_out = [path for path in inside if not is_sent(path.relative_to(ROOT).as_posix())]
            assert not kept_out, "by .dockerignore"
    copied = " ".join(build.all("COPY")).split()
    assert {*PRODUCT, "manage.py", "pyproject.toml", "requirements.txt", "fixtures/config"} <= set(copied)
    assert all(argument.startswith("--from=build ") for argument in final.all("COPY"))


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "vault/.env",
        ".git/config",
        ".venv/bin/python",
        "var/tokenhub.sqlite3",
        "vault/tokenhub.sqlite3-wal",
        "tests/settings.py",
        "docker-compose.yml",
        "secrets.txt",
    ],
)
def test_secrets_and_tests_stay_out_of_the_build(name: str) -> None:
    assert not is_sent(name)


def test_packages_are_installed_by_their_hashes() -> None:
    installs = [step for stage in dockerfile() for step in stage.all("RUN") if "pip install" in step]
    assert len(installs) == 2
    assert "--require-hashes -r" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_the_executable_is_the_console_script() -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["tokenhub"]
    module, _, function = script.partition(":")
    assert callable(getattr(import_module(module), function))
    assert "ln -s /opt/venv/bin/tokenhub /tokenhub" in dockerfile()[-1].all("RUN")


def test_it_runs_without_rights_and_writes_to_one_directory() -> None:
    final = dockerfile()[-1]
    uid, _, gid = final.all("USER")[-1].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert final.steps.index(("USER", f"{uid}:{gid}")) > max(
        final.steps.index(step) for step in final.steps if step[0] == "RUN"
    )
    assert f"--owner={uid} --group={gid} --mode=0700 /data" in " ".join(final.all("RUN"))
    assert final.all("VOLUME") == ["/data"]
    environment = final.environment()
    assert environment["TOKENHUB_DATA_DIR"] == "/data"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["TOKENHUB_ENV_FILE"] == ""
    assert 'worker_tmp_dir = "/dev/shm"' in (ROOT / "tokenhub_site" / "gunicorn_conf.py").read_text()


def test_base_images_have_a_version() -> None:
    services = compose()["services"].values()
    images = [stage.base for stage in dockerfile()] + [service["image"] for service in services if "image" in service]
    assert len(images) == 3
    for image in images:
        tag = image.partition(":")[2]
        assert tag, image
        assert tag != "latest", image


def health_command(port: int) -> list[str]:
    """Return the image's health check, asking another port than the image's."""
    command: list[str] = json.loads(dockerfile()[-1].all("HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *(part.replace(":8080/", f":{port}/") for part in command[1:])]


def test_the_health_check_believes_what_it_is_told() -> None:
    with serving(200) as port:
        assert subprocess.run(health_command(port), check=False).returncode == 0
    with serving(503) as port:
        assert subprocess.run(health_command(port), check=False, stderr=subprocess.DEVNULL).returncode != 0
    assert subprocess.run(health_command(port), check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_the_health_check_asks_an_address_of_the_gateway() -> None:
    url = re.search(r"http://127\.0\.0\.1:8080(/[\w/]+)", dockerfile()[-1].all("HEALTHCHECK")[0])
    assert url
    assert resolve(url[1]).view_name == "gateway:live"


def test_health_is_told_whatever_hosts_are_allowed() -> None:
    ask = (
        "import django; django.setup(); from django.test import Client;"
        "print(Client().get('/health/live', headers={'host': '127.0.0.1:8080'}).status_code)"
    )
    environment = os.environ | {
        "ALLOWED_HOSTS": "hub.example.com",
        "TOKENHUB_BEHIND_TLS": "true",
        "TOKENHUB_ENV_FILE": "",
        "DATABASE_URL": "sqlite://:memory:",
        "DJANGO_SETTINGS_MODULE": "tokenhub_site.settings",
    }
    told = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "200"


def test_the_documented_compose_file_fits_the_image() -> None:
    service = yaml.safe_load(DOCUMENTED_COMPOSE)["services"]["tokenhub"]
    final = dockerfile()[-1]
    executable, *arguments = service["command"]
    assert [executable] == json.loads(final.all("CMD")[-1])
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert str(parser.parse_args(arguments).config) == service["volumes"][0].split(":")[1]
    assert service["ports"][0].split(":")[1] in final.all("EXPOSE")
    assert {variable.partition("=")[0] for variable in service["environment"]} <= shown_variables()
    assert "ENTRYPOINT" not in dict(final.steps)


def test_the_compose_file_keeps_the_data_and_gives_no_rights() -> None:
    content = compose()
    service = content["services"]["tokenhub"]
    assert service["volumes"] == ["data:/data"]
    assert "data" in content["volumes"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert service["ports"][0].endswith(":8080")


def test_a_stop_waits_longer_than_the_streams_may_take() -> None:
    grace = int(compose()["services"]["tokenhub"]["stop_grace_period"].removesuffix("s"))
    assert grace > WHOLE["TOKENHUB_GRACEFUL_TIMEOUT"].default


def test_an_empty_variable_is_none() -> None:
    ask = "from django.conf import settings; print(settings.DATABASES['default']['ENGINE'], settings.DEBUG)"
    empty = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "TOKENHUB_BEHIND_TLS"), "")
    environment = os.environ | empty | {"TOKENHUB_ENV_FILE": "", "DJANGO_SETTINGS_MODULE": "tokenhub_site.settings"}
    told = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "django.db.backends.sqlite3 False"


def test_the_compose_file_sets_only_what_is_known_and_quotes_no_secret() -> None:
    known = read_variables() | shown_variables()
    for service in compose()["services"].values():
        for variable, value in service.get("environment", {}).items():
            assert variable in known, variable
            assert "${" in str(value) or not re.search(r"KEY|PASSWORD|SECRET|DATABASE_URL", variable), variable
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked <= shown_variables()


def test_the_example_environment_shows_what_the_source_reads() -> None:
    assert read_variables() - NOT_FOR_PEOPLE <= shown_variables()


def test_the_example_environment_shows_nothing_else() -> None:
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    files += [*(ROOT / "fixtures" / "config").glob("*.json"), ROOT / "docker-compose.yml"]
    files += [*(ROOT / "deploy" / "compose").glob("*.yml")]
    source = " ".join(path.read_text() for path in files)
    unknown = {name for name in shown_variables() if not re.search(rf"\b{name.removesuffix('_FILE')}\b", source)}
    assert not unknown
