"""The immutable picture of the registry that a worker routes on, and the keeper that swaps it when the stamp moves."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, cast

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from registry.keeper import Keeps, one_line
from registry.models import Alias, AliasTarget, Model, Provider, ProviderType, Strategy
from registry.stamp import watch
from vault.crypto import Hidden, KeyProblem, Unopenable
from vault.models import SecretMissing

UNREADABLE = (TypeError, ValueError, ArithmeticError)  # how fields refuse what SQLite lets raw SQL put into a column


ReasoningWay = Literal["", "reasoning_content", "thought_signature"]


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A provider as the gateway calls it. Timeouts are seconds."""

    pk: int
    name: str
    type: ProviderType
    base_url: str
    """The row's or else the type's own, without a slash at the end; empty where the type needs none."""
    key: Hidden | None
    problem: str
    """Why it cannot be called, such as an environment variable that is not set; empty when all is well."""
    enabled: bool
    may_be_private: bool
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    total_timeout: float
    extra_headers: tuple[tuple[str, str], ...]
    auth_header: str = "Authorization"
    """The header that carries the key, `Authorization` as a Bearer token."""
    path: str = ""
    """Where an endpoint is below the base URL, with `{model}` and `{endpoint}` in it; empty for the usual place."""
    query: str = ""
    """The query of every URL, encoded."""
    unsupported: tuple[str, ...] = ()
    """Fields of a body that it refuses, such as `seed` or `messages[].name`."""
    limit_field: Literal["", "max_tokens", "max_completion_tokens"] = ""
    """Where it takes the most tokens of a chat's answer; empty where the caller chooses."""
    cache_control: bool = False
    """Whether it takes Anthropic's hints for the cache in chats."""
    reasoning_back: ReasoningWay = ""
    """How it takes back the reasoning of earlier turns in chats; empty where it does not."""
    endpoints: frozenset[str] = frozenset()
    """What it has of `chat`, `completions`, `embeddings` and `responses`."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as the router sees it. Prices are US dollars for 1,000 tokens, sizes tokens, `created` unix seconds."""

    pk: int
    id: str
    name: str
    provider: ProviderFacts
    weight: float
    cost_per_1k: float
    input_per_1k: Decimal | None
    output_per_1k: Decimal | None
    cache_read_per_1k: Decimal | None
    cache_write_per_1k: Decimal | None
    cache_write_1h_per_1k: Decimal | None
    context_size: int
    max_output_tokens: int | None
    capabilities: frozenset[str]
    aliases: tuple[str, ...]
    enabled: bool
    created: int

    has_price: bool = True
    """Whether anybody said what it costs, be it nothing."""
    rpm: int | None = None
    """Requests that all callers together may make of it in any 60 seconds; None where there is no limit."""
    tpm: int | None = None
    """Tokens, of prompts and answers, in any 60 seconds."""
    concurrent: int | None = None
    """Requests at the same time."""

    @property
    def score(self) -> float:
        """What the router ranks by: `weight - cost_per_1k * 10`."""
        return self.weight - self.cost_per_1k * 10


@dataclass(frozen=True, slots=True)
class AliasFacts:
    """A name for several models, in the order of listing, each with the weight that the alias gives it, if any."""

    name: str
    strategy: Strategy | None
    targets: tuple[tuple[ModelFacts, float | None], ...]
    pk: int | None = None
    """Of the row; None for the short form, which is a name that models carry."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All models, sorted by id, and all aliases that callers can use, as they were when the stamp read `version`."""

    version: int
    models: tuple[ModelFacts, ...]
    aliases: Mapping[str, AliasFacts] = field(default_factory=dict, hash=False)
    """The rows by name; what is only a name that models carry is not among them, see `alias`."""
    providers: frozenset[str] = frozenset()
    """The names of the providers that models have, those of a part being those of the whole."""
    closed: frozenset[str] = frozenset()
    """Names of aliases that are disabled or empty: no caller can use them, even where models carry them."""
    derived: dict[Hashable, Any] = field(init=False, repr=False, compare=False)
    """What others work out for this picture, and keep as long as it is there."""
    _by_id: Mapping[str, ModelFacts] = field(init=False, repr=False, compare=False)
    _groups: Mapping[str, AliasFacts] = field(init=False, repr=False, compare=False)
    _parts: dict[frozenset[str], "Snapshot"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        carriers: dict[str, list[ModelFacts]] = {}
        for model in self.models:
            for name in model.aliases:
                carriers.setdefault(name, []).append(model)
        by_id = {model.id: model for model in self.models}
        short = {name: AliasFacts(name, None, tuple((m, None) for m in found)) for name, found in carriers.items()}
        for name in (*self.closed, *by_id):
            short.pop(name, None)
        groups = short | {name: facts for name, facts in self.aliases.items() if name not in by_id}
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))
        object.__setattr__(self, "_by_id", MappingProxyType(by_id))
        object.__setattr__(self, "_groups", MappingProxyType(groups))
        object.__setattr__(self, "_parts", {})
        object.__setattr__(self, "derived", {})
        if not self.providers:
            object.__setattr__(self, "providers", frozenset(model.provider.name for model in self.models))

    @property
    def names(self) -> list[str]:
        """Every name that callers can use, sorted."""
        return sorted((*self._by_id, *self._groups))

    def named(self, name: str) -> tuple[ModelFacts, ...]:
        """The model of that id; else those of the alias; else those that carry it as an alias; else none."""
        if name in self._by_id:
            return (self._by_id[name],)
        return tuple(model for model, _ in self._groups[name].targets) if name in self._groups else ()

    def only(self, names: frozenset[str]) -> "Snapshot":
        """The part of it that somebody sees who may use the models of these names; the same object each time.

        The name of an alias brings its models along, and of every other alias there is what these models leave of it.
        """
        if names not in self._parts:
            seen = {model.pk: model for name in names for model in self.named(name)}
            models = tuple(model for model in self.models if model.pk in seen)
            rest = {name: _as_before(alias, seen) for name, alias in self.aliases.items()}
            aliases = {name: alias for name, alias in rest.items() if alias.targets}
            closed = self.closed | (rest.keys() - aliases.keys())
            self._parts[names] = Snapshot(self.version, models, aliases, providers=self.providers, closed=closed)
        return self._parts[names]

    def alias(self, name: str) -> AliasFacts | None:
        """The group of that name, be it a row or the short form; None for the id of a model and for what is unknown."""
        return self._groups.get(name)


def read_picture(old: Snapshot | None = None) -> tuple[Snapshot, tuple[str, ...]]:
    """
    The picture, and a text for each row that does not validate, in four queries. Raises django.db.Error, StampMissing.

    A row that does not validate stays as it was in the `old` picture, or stays out if it was not there: one bad row,
    written past every form, must not keep the others from being obeyed.

    Models and providers come from one statement, so they fit each other. The version is read before all rows: they may
    be newer than it says, and are then read again at the next look, but never older.
    """
    version = watch.version()
    models, faults = _models(old)
    aliases, closed, further = _aliases(models, old)
    found = tuple(sorted(models.values(), key=lambda model: model.id))
    return Snapshot(version, found, aliases, closed=closed), (*faults, *further)


def _models(old: Snapshot | None) -> tuple[dict[int, ModelFacts], Iterable[str]]:
    """The models by key, and what is wrong with those that stay as they were."""
    facts: dict[int, ModelFacts] = {}
    faults: dict[int, str] = {}
    providers: dict[int, ProviderFacts] = {}
    for row in _rows(faults):
        try:
            if row.provider_id not in providers:
                providers[row.provider_id] = _provider_facts(row.provider)
            facts[row.pk] = _model_facts(row, providers[row.provider_id])
        except ValidationError as error:
            faults[row.pk] = f"model {row.public_id} of provider {row.provider}: {one_line(error)}"
    for model in old.models if old else ():
        if model.pk in faults:
            facts[model.pk] = model
    return facts, faults.values()


def _aliases(
    models: Mapping[int, ModelFacts], old: Snapshot | None
) -> tuple[dict[str, AliasFacts], frozenset[str], list[str]]:
    """The aliases that can be used by name, the names of the others, and what is wrong with those that stay as were."""
    before = {facts.pk: facts for facts in (old.aliases.values() if old else ())}
    aliases: dict[str, AliasFacts] = {}
    names, faults = set(), []
    for row in Alias.objects.prefetch_related("targets"):
        names.add(row.name)
        try:
            facts = _alias_facts(row, models) if row.enabled else None
        except ValidationError as error:
            faults.append(f"alias {row.name}: {one_line(error)}")
            facts = _as_before(before[row.pk], models) if row.pk in before else None
        if facts and facts.targets:
            aliases[facts.name] = facts
    return aliases, frozenset(names - aliases.keys()), faults


def _alias_facts(row: Alias, models: Mapping[int, ModelFacts]) -> AliasFacts:
    _validate(row)
    targets = row.targets.all()
    for target in targets:
        _validate(target)
    return AliasFacts(
        name=row.name,
        strategy=Strategy(row.strategy) if row.strategy else None,
        # a model that does not validate, or is younger than the statement that read the models, is not among them
        targets=tuple((models[each.model_id], each.weight) for each in targets if each.model_id in models),
        pk=row.pk,
    )


def _as_before(alias: AliasFacts, models: Mapping[int, ModelFacts]) -> AliasFacts:
    """The alias as it was, of models as they are and of no others."""
    return replace(alias, targets=tuple((models[m.pk], weight) for m, weight in alias.targets if m.pk in models))


def _rows(faults: dict[int, str]) -> Iterable[Model]:
    """All models with provider and secret; those that hold what their fields cannot even read become faults."""
    rows = Model.objects.select_related("provider__secret")
    try:
        return list(rows)
    except UNREADABLE:
        return _rows_one_by_one(rows, faults)


def _rows_one_by_one(rows: QuerySet[Model], faults: dict[int, str]) -> Iterator[Model]:
    for pk, public_id in rows.values_list("pk", "public_id"):
        try:
            yield from rows.filter(pk=pk)
        except UNREADABLE as error:
            faults[pk] = f"model {public_id}: {one_line(error)}"


def _validate(row: Provider | Model | Alias | AliasTarget) -> None:
    # foreign keys are the database's to check: asking it again would be a query a row
    row.clean_fields(exclude={each.name for each in row._meta.fields if each.remote_field})  # noqa: SLF001
    row.clean()


def _provider_facts(row: Provider) -> ProviderFacts:
    _validate(row)
    kind = ProviderType(row.type)
    key, problem = key_of(row)
    return ProviderFacts(
        pk=row.pk,
        name=row.name,
        type=kind,
        base_url=(row.base_url or kind.default_base_url).rstrip("/"),
        key=key,
        problem=problem,
        enabled=row.enabled,
        may_be_private=row.may_be_private,
        connect_timeout=row.connect_timeout,
        first_byte_timeout=row.first_byte_timeout,
        idle_timeout=row.idle_timeout,
        total_timeout=row.total_timeout,
        extra_headers=tuple((row.extra_headers or {}).items()),
        auth_header=row.key_header,
        path=row.path,
        query=row.encoded_query,
        unsupported=tuple(row.unsupported or ()),
        limit_field=cast(Literal["", "max_tokens", "max_completion_tokens"], row.limit_field),
        cache_control=row.cache_control,
        reasoning_back=cast(ReasoningWay, row.reasoning_back),
        endpoints=row.known_endpoints,
    )


def key_of(provider: Provider) -> tuple[Hidden | None, str]:
    """A provider's key, or why there is none although there should be one."""
    if provider.secret is None:
        return None, "it needs a key and names no secret" if ProviderType(provider.type).needs_key else ""
    try:
        return provider.secret.resolve(), ""
    except (SecretMissing, Unopenable, KeyProblem) as error:
        return None, one_line(error)


def _model_facts(row: Model, provider: ProviderFacts) -> ModelFacts:
    _validate(row)
    return ModelFacts(
        pk=row.pk,
        id=row.public_id,
        name=row.name,
        provider=provider,
        weight=row.weight,
        cost_per_1k=float(row.cost_per_1k),
        input_per_1k=row.input_per_1k,
        output_per_1k=row.output_per_1k,
        cache_read_per_1k=row.cache_read_per_1k,
        cache_write_per_1k=row.cache_write_per_1k,
        cache_write_1h_per_1k=row.cache_write_1h_per_1k,
        context_size=row.context_size,
        max_output_tokens=row.max_output_tokens,
        capabilities=frozenset(row.capabilities),
        aliases=tuple(row.aliases or ()),
        enabled=row.enabled,
        created=int(row.created_at.timestamp()),
        has_price=row.has_price or row.provider.type == ProviderType.ECHO,
        rpm=row.rpm,
        tpm=row.tpm,
        concurrent=row.concurrent,
    )


class Keeper(Keeps[Snapshot]):
    """Holds the picture of the registry."""

    def __init__(self) -> None:
        super().__init__("registry", watch.version, read_picture)


keeper = Keeper()
