"""A configuration file as text: its parts, their fields and their names, checked without Django or a database."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any, Final, Literal

from registry.config import values
from registry.config.faults import ConfigInvalid, Fault, nearest, quoted, within
from registry.config.strict import parse
from registry.config.values import WrongValue
from registry.presets import PRESETS

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "fixtures" / "config" / "default.json"

Kind = Literal["provider", "model", "alias"]
Fields = Mapping[str, values.Read]

SERVER: Fields = {"host": values.text, "port": values.port}
VAULT: Fields = {"encryption_key_env": values.variable}
PROVIDER: Fields = {
    "name": values.text,
    "preset": values.text,
    "type": values.text,
    "api_key_env": values.variable,
    "api_key": values.secret,
    "base_url": values.text,
    "enabled": values.boolean,
    "note": values.prose,
    "connect_timeout": values.number,
    "first_byte_timeout": values.number,
    "idle_timeout": values.number,
    "total_timeout": values.number,
    "extra_headers": values.headers,
    "auth_header": values.text,
    "path": values.text,
    "query": values.headers,
    "unsupported": values.names,
    "limit_field": values.text,
    "cache_control": values.boolean,
    "reasoning_back": values.text,
    "endpoints": values.names,
}
MODEL: Fields = {
    "id": values.text,
    "provider": values.text,
    "name": values.text,
    "weight": values.number,
    "cost_per_1k": values.exact,
    "input_per_1k": values.optional(values.exact),
    "output_per_1k": values.optional(values.exact),
    "cache_read_per_1k": values.optional(values.exact),
    "cache_write_per_1k": values.optional(values.exact),
    "cache_write_1h_per_1k": values.optional(values.exact),
    "is_free": values.boolean,
    "context_size": values.whole,
    "max_output_tokens": values.optional(values.whole),
    "rpm": values.optional(values.whole),
    "tpm": values.optional(values.whole),
    "concurrent": values.optional(values.whole),
    "capabilities": values.names,
    "aliases": values.names,
    "enabled": values.boolean,
}
_PRICES: Final = tuple(name for name in MODEL if name.endswith("_per_1k") and name != "cost_per_1k")
ALIAS: Fields = {
    "name": values.text,
    "strategy": values.text,
    "enabled": values.boolean,
    "note": values.prose,
    "models": values.members,
}
TARGET: Fields = {"id": values.text, "weight": values.optional(values.number)}


@dataclass(frozen=True)
class Server:
    """Where the server listens."""

    host: str = "0.0.0.0"  # noqa: S104  # a gateway is there to be reached
    port: int = 8080


@dataclass(frozen=True)
class Vault:
    """Where the vault's key comes from."""

    encryption_key_env: str = "TOKENHUB_ENCRYPTION_KEY"


@dataclass(frozen=True)
class Entry:
    """A provider, model or alias of the file: its name (a model's id), its place and the fields it gives."""

    kind: Kind
    name: str
    path: str
    given: Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """A model that an alias names: its id and weight, and the place of the id in the document."""

    id: str
    weight: float | None
    path: str


@dataclass(frozen=True)
class Config:
    """A configuration file; an `api_key` within is a `Hidden`."""

    server: Server = field(default_factory=Server)
    vault: Vault = field(default_factory=Vault)
    providers: tuple[Entry, ...] = ()
    models: tuple[Entry, ...] = ()
    aliases: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Providers, then models, then aliases."""
        return self.providers + self.models + self.aliases


def read(source: str | Path) -> Config:
    """Read a text or the file at a path; ConfigInvalid with everything that is wrong with its text.

    What only the rows know (types of providers, lengths, ranges) is checked by `load`, before it writes.
    """
    config, faults = survey(source)
    if faults:
        raise ConfigInvalid(faults)
    return config


def default_config() -> Config:
    """What a server without a configuration file begins with."""
    return read(DEFAULT_FILE)


def survey(source: str | Path) -> tuple[Config, list[Fault]]:
    """Read as far as one can get: what is sound, and what is not. ConfigInvalid where there is no object to read."""
    document, faults = parse(_text_of(source) if isinstance(source, Path) else source)
    if not isinstance(document, dict):
        raise ConfigInvalid([Fault("", 'give an object with "providers" and "models"')])
    reader = _Reader(faults)
    reader.check_names(document, ["server", "vault", "providers", "models", "aliases"], "")
    config = Config(
        server=Server(**reader.fields(document.get("server", {}), SERVER, "server")),
        vault=Vault(**reader.fields(document.get("vault", {}), VAULT, "vault")),
        providers=tuple(
            Entry("provider", given.get("name", ""), path, reader.with_preset(given, path))
            for path, given in reader.listed(document, "providers", PROVIDER, required=("name", "type"))
        ),
        models=tuple(
            starmap(_model, reader.listed(document, "models", MODEL, required=("id", "provider", "context_size")))
        ),
        aliases=tuple(
            Entry("alias", given.get("name", ""), path, reader.with_targets(given, path))
            for path, given in reader.listed(document, "aliases", ALIAS, required=("name", "models"))
        ),
    )
    reader.compare(config)
    return config, faults


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"not UTF-8: byte {error.start} cannot be read"
    raise ConfigInvalid([Fault("", problem)])


def _model(path: str, given: dict[str, Any]) -> Entry:
    if "id" not in given:
        return Entry("model", "", path, given)
    # a price of nothing that somebody wrote down is a price, one that nobody wrote is none
    is_free = {"is_free": True} if given.get("cost_per_1k") == 0 and not any(map(given.get, _PRICES)) else {}
    return Entry("model", given["id"], path, {"name": given["id"], **is_free, **given})


class _Reader:
    """Reads the parts of a document and gathers what is wrong with them."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults

    def add(self, path: str, problem: str) -> None:
        """Tell a fault; one for each place is enough."""
        if all(fault.path != path for fault in self.faults):
            self.faults.append(Fault(path, problem))

    def check_names(self, value: dict[str, Any], known: Collection[str], path: str) -> None:
        """Refuse names that nobody reads: a typo would otherwise be a default that nobody asked for."""
        for name in value:
            if name not in known:
                self.add(within(path, name), f"unknown field{nearest(name, known)}")

    def fields(self, value: Any, fields: Fields, path: str) -> dict[str, Any]:
        """Those fields of an object that are sound."""
        if not isinstance(value, dict):
            self.add(path, "give an object")
            return {}
        self.check_names(value, fields, path)
        sound = {}
        for name in (name for name in fields if name in value):
            try:
                sound[name] = fields[name](value[name])
            except WrongValue as wrong:
                self.add(within(path, name), str(wrong))
        return sound

    def listed(
        self, document: dict[str, Any], part: str, fields: Fields, *, required: Collection[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The path and the sound fields of each entry of a list."""
        entries = document.get(part, [])
        if not isinstance(entries, list):
            self.add(part, "give a list")
            return
        for position, value in enumerate(entries):
            path = f"{part}[{position}]"
            yield path, self.fields(value, fields, path)
            self._check_required(value, required, path)

    def with_preset(self, given: dict[str, Any], path: str) -> dict[str, Any]:
        """The fields of a provider with those of its preset, if it names one, wherever it does not give its own."""
        if "preset" not in given:
            return given
        name = given["preset"]
        if name not in PRESETS:
            self.add(within(path, "preset"), f"no preset has the name {quoted(name)}{nearest(name, PRESETS)}")
            return given
        return {**PRESETS[name].fields, **given}

    def with_targets(self, given: dict[str, Any], path: str) -> dict[str, Any]:
        """The fields of an alias with its models as `Target`s; a text stands for an object with that id."""
        targets = []
        for position, value in enumerate(given.get("models", ())):
            place = f"{within(path, 'models')}[{position}]"
            if isinstance(value, str):
                targets += [Target(value, None, place)]
                continue
            sound = self.fields(value, TARGET, place)
            self._check_required(value, ("id",), place)
            if "id" in sound:
                targets += [Target(sound["id"], sound.get("weight"), within(place, "id"))]
        return {**given, "models": targets}

    def _check_required(self, value: Any, required: Collection[str], path: str) -> None:
        if not isinstance(value, dict):
            return
        by_preset = {"type"} if "preset" in value else set()
        for name in required:
            if name not in value and name not in by_preset:
                self.add(within(path, name), "missing")

    def compare(self, config: Config) -> None:
        """Find what is wrong between entries that are sound by themselves."""
        providers = self._once(config.providers, "name")
        models = self._once(config.models, "id")
        self._once(config.aliases, "name")
        for entry in config.providers:
            if {"api_key", "api_key_env"} <= entry.given.keys():
                self.add(within(entry.path, "api_key"), "give either api_key or api_key_env, not both")
        for entry in config.models:
            provider = entry.given.get("provider")
            if provider is not None and provider not in providers:
                problem = f"no provider is named {quoted(provider)}{nearest(provider, providers)}"
                self.add(within(entry.path, "provider"), problem)
            for alias in entry.given.get("aliases", []):
                if alias != entry.name and alias in models:
                    self.add(within(entry.path, "aliases"), f"{quoted(alias)} is the id of {models[alias]}")
        for entry in config.aliases:
            if entry.name in models:
                self.add(within(entry.path, "name"), f"{quoted(entry.name)} is the id of {models[entry.name]}")
            self._compare_targets(entry.given["models"], models)

    def _compare_targets(self, targets: Iterable[Target], models: Mapping[str, str]) -> None:
        """Find targets that are no models, or that stand there twice."""
        seen: dict[str, str] = {}
        for target in targets:
            if target.id not in models:
                self.add(target.path, f"no model has the id {quoted(target.id)}{nearest(target.id, models)}")
            elif seen.setdefault(target.id, target.path) != target.path:
                self.add(target.path, f"{quoted(target.id)} is already named by {seen[target.id]}")

    def _once(self, entries: tuple[Entry, ...], field: str) -> dict[str, str]:
        """The path of each name; a name that is given twice is a fault."""
        paths: dict[str, str] = {}
        for entry in entries:
            if entry.name and paths.setdefault(entry.name, entry.path) != entry.path:
                problem = f"{quoted(entry.name)} is already the {field} of {paths[entry.name]}"
                self.add(within(entry.path, field), problem)
        return paths
