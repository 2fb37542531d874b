"""The variables that are numbers, switches or choices: what each may be, for the settings, gunicorn and the checks."""

import os
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
N = TypeVar("N", int, float)

_TRUE: Final = frozenset({"true", "yes", "on", "ok", "y", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "n", "0"})
_KINDS: Final[Mapping[type, str]] = {int: "whole number", float: "number"}


class Unfit(ValueError):
    """A value that its variable may not have; the message goes on after the variable's name."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a variable: the id of its system check, what is wrong, and what to give instead."""

    id: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.id}: {self.problem} {self.hint}"


@dataclass(frozen=True, kw_only=True)
class Variable(ABC, Generic[T]):
    """What one variable may be, and what it is where the environment does not say."""

    id: str
    default: T

    @abstractmethod
    def parse(self, text: str) -> T:
        """Return the value that a text stands for; raises `Unfit`."""

    @property
    @abstractmethod
    def hint(self) -> str:
        """A sentence on what to give."""


@dataclass(frozen=True, kw_only=True)
class Number(Variable[N]):
    """A number of some unit, `lowest` and `highest` included."""

    id: str = "site.E001"
    lowest: N
    highest: N
    unit: str

    def parse(self, text: str) -> N:
        kind: type[N] = type(self.default)
        try:
            number = kind(text)
        except ValueError:
            raise Unfit(f"is {text!r}, which is no {self._kind}") from None
        if not self.lowest <= number <= self.highest:
            raise Unfit(f"is {text}, which is not between {self.lowest} and {self.highest}")
        return number

    @property
    def hint(self) -> str:
        return f"Give a {self._kind} of {self.unit} from {self.lowest} to {self.highest}."

    @property
    def _kind(self) -> str:
        return _KINDS[type(self.default)]


@dataclass(frozen=True, kw_only=True)
class Switch(Variable[bool]):
    """True or false: a word that is neither must not pass for one of them."""

    id: str = "site.E002"
    default: bool = False
    hint: str = "Give true or false."

    def parse(self, text: str) -> bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise Unfit(f"is {text!r}, which is neither true nor false")


@dataclass(frozen=True, kw_only=True)
class Choice(Variable[str]):
    """One of some words; those in capitals may be written in small letters."""

    options: tuple[str, ...]

    def parse(self, text: str) -> str:
        for word in (text, text.upper()):
            if word in self.options:
                return word
        raise Unfit(f"is {text!r}, which is none of its values")

    @property
    def hint(self) -> str:
        return f"Give one of {', '.join(self.options)}, or leave it unset."


@dataclass(frozen=True, kw_only=True)
class RedisUrls(Variable[str]):
    """One or more addresses of Redis, as Django's cache takes them. They may hold a password and are never told."""

    id: str = "site.E006"
    default: str = ""
    hint: str = "Give redis://host:6379/0, rediss://… for TLS, or unix:///path/of/socket."

    def parse(self, text: str) -> str:
        for url in re.split("[;,]", text):
            if not url.strip().startswith(("redis://", "rediss://", "unix://")):
                raise Unfit("is not an address of Redis")
        return text


@dataclass(frozen=True, kw_only=True)
class WebhookUrl(Variable[str]):
    """An address that is posted to. It may hold a token and is never told."""

    id: str = "site.E011"
    default: str = ""
    hint: str = "Give an address such as https://example.org/hooks/budgets."

    def parse(self, text: str) -> str:
        try:
            parts = urlsplit(text)
            is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port or an address in brackets that is none
            is_address = False
        if not is_address or parts.fragment or not text.isprintable() or " " in text:
            raise Unfit("is not an address of HTTP or HTTPS")
        return text


@dataclass(frozen=True, kw_only=True)
class Address(Variable[str]):
    """Where to listen: `host:port`, the host of IPv6 in brackets."""

    id: str = "site.E012"
    default: str = ""
    hint: str = "Give host:port, such as 127.0.0.1:9464 or [::]:9464."

    def parse(self, text: str) -> str:
        try:
            parts = urlsplit(f"//{text}")
            is_address = bool(parts.hostname) and bool(parts.port) and parts.netloc == text and "@" not in text
        except ValueError:  # a port or an address in brackets that is none
            is_address = False
        if not is_address:
            raise Unfit(f"is {text!r}, which is not host:port")
        return text


@dataclass(frozen=True, kw_only=True)
class Token(Variable[str]):
    """A secret that is sent in a header. It is never told."""

    id: str = "site.E013"
    default: str = ""
    hint: str = "Give at least 16 letters, digits or signs without a space, such as openssl rand -hex 32 prints."

    def parse(self, text: str) -> str:
        if len(text) < _SHORTEST_TOKEN or not re.fullmatch(r"[!-~]+", text):
            raise Unfit("is too short, or has what no header may have")
        return text


@dataclass(frozen=True, kw_only=True)
class ReadableFile(Variable[str]):
    """The path of a file, which is to be there."""

    id: str = "site.E008"
    default: str = ""
    hint: str = "Give the path of a file that this process may read."

    def parse(self, text: str) -> str:
        if not os.access(text, os.R_OK) or os.path.isdir(text):  # noqa: PTH112 - as plain as the line before it
            raise Unfit(f"is {text!r}, which is no file that can be read")
        return text


@dataclass(frozen=True, kw_only=True)
class CertificateFile(ReadableFile):
    """The path of a file that holds certificates."""

    hint: str = "Give the path of a file of certificates in PEM."

    def parse(self, text: str) -> str:
        path = super().parse(text)
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            raise Unfit(f"is {text!r}, which holds no certificates") from None
        return path


# orjson writes what is nested 254 deep, and a body is wrapped once or twice on its way to a provider.
_DEPTH: Final = 250
_DAY: Final = 86_400
_SHORTEST_TOKEN: Final = 16
_COLLECTOR_HINT: Final = "Give the address of a collector of OTLP over HTTP, such as http://localhost:4318."

WHOLE: Final[Mapping[str, Number[int]]] = {
    "TOKENHUB_MAX_BODY_BYTES": Number(default=20 * 1024 * 1024, lowest=1, highest=1024**3, unit="bytes"),
    "TOKENHUB_MAX_JSON_DEPTH": Number(default=100, lowest=1, highest=_DEPTH, unit="levels"),
    "SECURE_HSTS_SECONDS": Number(default=0, lowest=0, highest=2**31 - 1, unit="seconds"),
    "TOKENHUB_KEEP_CALLS_DAYS": Number(default=0, lowest=0, highest=36_500, unit="days"),
    # there is no "for ever": what people said is not kept by oversight
    "TOKENHUB_KEEP_CONTENT_DAYS": Number(default=30, lowest=1, highest=36_500, unit="days"),
    "TOKENHUB_CONTENT_MAX_BYTES": Number(default=256 * 1024, lowest=1, highest=8 * 1024**2, unit="bytes"),
    "WEB_CONCURRENCY": Number(default=len(os.sched_getaffinity(0)), lowest=1, highest=1024, unit="processes"),
    "TOKENHUB_WORKER_CONNECTIONS": Number(default=10_000, lowest=1, highest=1_000_000, unit="connections"),
    "TOKENHUB_KEEPALIVE_SECONDS": Number(default=75, lowest=1, highest=_DAY, unit="seconds"),
    "TOKENHUB_WORKER_TIMEOUT": Number(
        default=60, lowest=2, highest=_DAY, unit="seconds"
    ),  # its heart beats every second
    "TOKENHUB_GRACEFUL_TIMEOUT": Number(default=330, lowest=1, highest=_DAY, unit="seconds"),
    "TOKENHUB_LAME_DUCK_SECONDS": Number(default=1, lowest=0, highest=_DAY, unit="seconds"),
    "TOKENHUB_DRAIN_SECONDS": Number(default=300, lowest=0, highest=_DAY, unit="seconds"),
}
DECIMAL: Final[Mapping[str, Number[float]]] = {
    "TOKENHUB_BODY_SECONDS": Number(default=30.0, lowest=0.01, highest=_DAY, unit="seconds"),
    "TOKENHUB_WRITE_SECONDS": Number(default=60.0, lowest=0.01, highest=_DAY, unit="seconds"),
    "TOKENHUB_REQUEST_SECONDS": Number(default=600.0, lowest=0.01, highest=_DAY, unit="seconds"),
    "TOKENHUB_PROBE_SECONDS": Number(default=0.0, lowest=0, highest=_DAY, unit="seconds"),
    "TOKENHUB_PING_SECONDS": Number(default=10.0, lowest=0.01, highest=_DAY, unit="seconds"),
    # a picture of the registry that is 10 s old makes a gateway unready
    "TOKENHUB_REFRESH_SECONDS": Number(default=0.25, lowest=0.01, highest=5, unit="seconds"),
    "TOKENHUB_LEDGER_SECONDS": Number(default=0.25, lowest=0.01, highest=60, unit="seconds"),
    "TOKENHUB_HUB_LAG_SECONDS": Number(default=0.5, lowest=0.01, highest=60, unit="seconds"),
    "TOKENHUB_SQLITE_BUSY_SECONDS": Number(default=2.0, lowest=0.01, highest=600, unit="seconds"),
}
SWITCHES: Final[Mapping[str, Switch]] = {
    "DEBUG": Switch(),
    "TOKENHUB_BEHIND_TLS": Switch(),
    "TOKENHUB_USE_ENV_PROXIES": Switch(),
    "TOKENHUB_COOLDOWNS": Switch(default=True),
}
CHOICES: Final[Mapping[str, Choice]] = {
    "TOKENHUB_LOG_LEVEL": Choice(
        id="site.E003", default="INFO", options=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    ),
    "TOKENHUB_STRATEGY": Choice(
        id="site.E009", default="score", options=("score", "cheapest", "fastest", "balanced", "weighted")
    ),
    "TOKENHUB_LIMITS_WHEN_AWAY": Choice(id="site.E010", default="open", options=("open", "closed")),
    # `auto`: as soon as there is a key
    "TOKENHUB_REQUIRE_KEY": Choice(id="site.E002", default="auto", options=("auto", "true", "false")),
    # psycopg reads it by itself; those of its ways to wait that gevent does not patch would stop a whole worker
    "PSYCOPG_WAIT_FUNC": Choice(id="site.E005", default="", options=("wait_poll", "wait_select", "wait_selector")),
}
WEBHOOKS: Final[Mapping[str, WebhookUrl]] = {
    "TOKENHUB_BUDGET_WEBHOOK": WebhookUrl(),
    "OTEL_EXPORTER_OTLP_ENDPOINT": WebhookUrl(id="site.E014", hint=_COLLECTOR_HINT),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": WebhookUrl(id="site.E014", hint=_COLLECTOR_HINT),
}
ADDRESSES: Final[Mapping[str, Address]] = {"TOKENHUB_METRICS_BIND": Address()}
TOKENS: Final[Mapping[str, Token]] = {"TOKENHUB_METRICS_TOKEN": Token()}
FILES: Final[Mapping[str, ReadableFile]] = {
    "TOKENHUB_CA_BUNDLE": CertificateFile(),
    "TOKENHUB_ENV_FILE": ReadableFile(),
}
TABLE: Final[Mapping[str, Variable[Any]]] = {
    **WHOLE,
    **DECIMAL,
    **SWITCHES,
    **CHOICES,
    "REDIS_URL": RedisUrls(),
    **WEBHOOKS,
    **ADDRESSES,
    **TOKENS,
    **FILES,
}


def webhook(name: str) -> str:
    """Return an address from the environment, empty where it says nothing or what a check refuses."""
    return _read(name, WEBHOOKS[name])


def address(name: str) -> str:
    """Return `host:port` from the environment, empty where it says nothing or what a check refuses."""
    return _read(name, ADDRESSES[name])


def token(name: str) -> str:
    """Return a token from the environment, empty where it says nothing or what a check refuses."""
    return _read(name, TOKENS[name])


def file(name: str) -> str:
    """Return a path from the environment, empty where it says nothing or what a check refuses."""
    return _read(name, FILES[name])


def whole(name: str, default: int | None = None) -> int:
    """Return a whole number from the environment, or the default where it says nothing or what a check refuses."""
    return _read(name, WHOLE[name], default)


def decimal(name: str) -> float:
    """Return a number from the environment, or its default where it says nothing or what a check refuses."""
    return _read(name, DECIMAL[name])


def switch(name: str) -> bool:
    """Return a switch from the environment, or its default where it says nothing or what a check refuses."""
    return _read(name, SWITCHES[name])


def choice(name: str) -> str:
    """Return a word from the environment, or its default where it says nothing or what a check refuses."""
    return _read(name, CHOICES[name])


def faults() -> list[Fault]:
    """Return what is wrong with the variables of the environment, in the order of the table."""
    found = [fault for name, variable in TABLE.items() for fault in _fault(name, variable)]
    lame, drain = whole("TOKENHUB_LAME_DUCK_SECONDS"), whole("TOKENHUB_DRAIN_SECONDS")
    graceful = whole("TOKENHUB_GRACEFUL_TIMEOUT")
    if lame + drain >= graceful:
        problem = (
            f"TOKENHUB_LAME_DUCK_SECONDS ({lame}) and TOKENHUB_DRAIN_SECONDS ({drain}) together are not below"
            f" TOKENHUB_GRACEFUL_TIMEOUT ({graceful})."
        )
        hint = "Lower the former or raise the latter: streams must end in good order before their worker is killed."
        found.append(Fault("site.E004", problem, hint))
    return found


def _fault(name: str, variable: Variable[Any]) -> Iterator[Fault]:
    try:
        if text := _text(name):
            variable.parse(text)
    except Unfit as reason:
        yield Fault(variable.id, f"{name} {reason}.", variable.hint)


def _read(name: str, variable: Variable[T], default: T | None = None) -> T:
    try:
        if text := _text(name):
            return variable.parse(text)
    except Unfit:  # the system check tells it
        pass
    return variable.default if default is None else default


def _text(name: str) -> str:
    return os.environ.get(name, "").strip()
