"""The start of the server, in an order in which nothing is changed before everything is known to be right."""

import fcntl
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Never

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from registry.config import Config, ConfigInvalid, default_config, load, read_and_check
from registry.config.schema import Vault
from registry.models import LoadedRow, Provider
from vault import keycheck
from vault.crypto import KeyProblem
from vault.ring import get_ring

_ADVISORY_LOCK: Final = 0x5374617274487562  # "StartHub"; any number that no other program takes


class StartRefused(CommandError):
    """The server does not start; the message says why."""


def start(config_path: Path | None, *, host: str | None, port: int | None, create_admin: bool) -> Never:
    """Become gunicorn on `host:port` (by default the file's); raises `StartRefused` before anything is changed."""
    config = _read(config_path)
    if config is not None:
        _seal_under(config.vault.encryption_key_env)
    _run_checks()
    server = (config or default_config()).server
    address = (host or server.host, server.port if port is None else port)
    _require_free(*address)
    _require_free_for_metrics(address[1])
    try:
        ring = get_ring()
        with _alone():
            keycheck.verify(ring)  # before a migration could write
            _prepare(config, create_admin=create_admin)
    except KeyProblem as problem:
        raise StartRefused(f"the encryption key: {problem}") from problem
    except (DatabaseError, OSError) as error:
        raise StartRefused(f"the database cannot be used: {error}") from error
    site = f"http://{_for_people(address[0])}:{address[1]}"
    _say(f"Serving on {site}/v1, admin at {site}/admin/")
    _become_gunicorn(*address)


def _read(path: Path | None) -> Config | None:
    source = path or (Path(named) if (named := os.environ.get("TOKENHUB_CONFIG")) else None)
    if source is None:
        return None
    try:
        return read_and_check(source)
    except ConfigInvalid as invalid:
        raise StartRefused(f"{source}: {'; '.join(map(str, invalid.faults))}") from None


def _seal_under(variable: str) -> None:
    """Start over with the key from the variable that the file names, where the settings were read with another."""
    if variable not in {Vault.encryption_key_env, settings.TOKENHUB_KEY_VARIABLE}:
        os.environ["TOKENHUB_KEY_VARIABLE"] = variable
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very command that is running


def _run_checks() -> None:
    serious = [message for message in checks.run_checks() if message.is_serious()]
    if serious:
        raise StartRefused("; ".join(map(_told, serious)))


def _told(message: checks.CheckMessage) -> str:
    sentences = (text.strip().rstrip(".") for text in (message.msg, message.hint or ""))
    return f"{message.id}: {'. '.join(filter(None, sentences))}"


def _require_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
    except (OSError, OverflowError) as error:
        raise StartRefused(f"cannot listen on {host}:{port}: {error}") from error


def _require_free_for_metrics(port: int) -> None:
    if not settings.TOKENHUB_METRICS_BIND:
        return
    if port == settings.TOKENHUB_METRICS_PORT:
        raise StartRefused(f"TOKENHUB_METRICS_BIND needs another port than {port}, which is the gateway's own")
    host = settings.TOKENHUB_METRICS_BIND.rpartition(":")[0].strip("[]")
    _require_free(host, settings.TOKENHUB_METRICS_PORT)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one start at a time prepare the database: gateways that come up together would meet half-made tables."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])
        return
    database = Path(str(settings.DATABASES["default"]["NAME"]))
    folder = database.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    database.touch(mode=0o600)  # SQLite gives the files beside it the same mode
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            connection.close()  # the last to close a file of SQLite keeps others out for a moment


def _prepare(config: Config | None, *, create_admin: bool) -> None:
    call_command("migrate", interactive=False, verbosity=0)
    keycheck.register(get_ring())
    try:
        if config is not None:
            difference = load(config, keep_edits=True, reason="start with a configuration file")
        elif not Provider.objects.exists() and not LoadedRow.objects.exists():
            difference = load(default_config(), keep_edits=True, reason="start with the default configuration")
        else:
            difference = None
    except ConfigInvalid as invalid:
        raise StartRefused(str(invalid)) from invalid
    for line in difference.lines() if difference else ():
        _say(line)
    if create_admin:
        _create_admin()


def _create_admin() -> None:
    users = get_user_model()._default_manager  # noqa: SLF001 - the documented way to a swappable model's manager
    if not users.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(12)
        users.create_superuser(username="admin", password=password)
        _say(f"Admin account: admin, password: {password} (shown this once; change it at /admin/password_change/)")


def _become_gunicorn(host: str, port: int) -> Never:
    os.environ["TOKENHUB_BIND"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection.close()
    sys.stdout.flush()
    os.chdir(settings.BASE_DIR)
    os.execv(  # noqa: S606 - no shell, and nothing of a caller's in it
        sys.executable, [sys.executable, "-m", "gunicorn", "--config", "python:tokenhub_site.gunicorn_conf"]
    )


def _for_people(host: str) -> str:
    return "localhost" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - shown, not bound


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
