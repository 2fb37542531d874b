"""Everything that is wrong with a configuration file is told at once: where it is, what it is and what was meant."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from registry.config import ConfigInvalid, read, read_and_check
from registry.models import LoadedRow, Model, Provider
from vault.models import Secret

PROVIDER = {"name": "openai", "type": "openai", "api_key_env": "OPENAI_API_KEY"}
MODEL = {"id": "gpt-4", "provider": "openai", "context_size": 8192, "cost_per_1k": 0.03}


def text_of(provider: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **parts: Any) -> str:
    """A sound file, with these fields changed."""
    document = {"providers": [PROVIDER | (provider or {})], "models": [MODEL | (model or {})]}
    return json.dumps(document | parts)


def without(entry: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != field}


def faults_of(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(CommandError) as error:
        call_command("loadconfig", str(file))
    heading, *faults = str(error.value).splitlines()
    assert heading == f"{file} cannot be loaded, nothing was changed:"
    return [fault.strip() for fault in faults]


@pytest.mark.django_db
def test_it_works(tmp_path: Path) -> None:
    text = text_of({"type": "opnai", "enabeld": True}, {"cost_per_1k": "cheap", "provider": "opeani"}, servr={})
    assert sorted(faults_of(text, tmp_path)) == [
        "models[0].cost_per_1k: give a number, not a text",
        'models[0].provider: no provider is named "opeani"; did you mean "openai"?',
        'providers[0].enabeld: unknown field; did you mean "enabled"?',
        "providers[0].type: Value 'opnai' is not a valid choice; did you mean \"openai\"?",
        'servr: unknown field; did you mean "server"?',
    ]
    assert not any(table.objects.exists() for table in (Provider, Model, Secret, LoadedRow))


@pytest.mark.django_db
def test_a_key_that_no_header_can_carry_is_not_repeated(tmp_path: Path) -> None:
    entry = without(PROVIDER, "api_key_env") | {"api_key": "sk-canary-caf\u00e9"}
    (fault,) = faults_of(json.dumps({"providers": [entry], "models": [MODEL]}), tmp_path)
    assert fault == "providers[0].api_key: A key is one line of ASCII text: letters, digits, punctuation."


TEXT = [
    ("", "not JSON: Expecting value (line 1, column 1)"),
    ('{\n "models": [,]}', "not JSON: Expecting value (line 2, column 13)"),
    ("[" * 100_000, "nested too deeply"),
    ('{"server": {"port": ' + "9" * 5000 + "}}", "a number has too many digits"),
    ('{"server": {"port": 1e99999999999999999999}}', "a number has too many digits"),
    ("[]", 'give an object with "providers" and "models"'),
    ('{"models": [], "models": []}', "models: given more than once"),
    ('{"server": {"port": 1, "port": 2}}', "server.port: given more than once"),
    ('{"server": {"port": NaN}}', "server.port: NaN is not a JSON number"),
    ('{"server": {"port": -Infinity}}', "server.port: -Infinity is not a JSON number"),
    ('{"server": {"host": "\\ud800"}}', "server.host: holds half of a surrogate pair"),
    ('{"\\ud800": 1}', '["\\ud800"]: unknown field'),
]

STRUCTURE = [
    (text_of(colour=1), 'colour: unknown field; known: "server", "vault", "providers", "models"'),
    (text_of(server=[]), "server: give an object"),
    (text_of(server={"port": 0}), "server.port: a port is a whole number from 1 to 65535"),
    (text_of(server={"port": 65536}), "server.port: a port is a whole number from 1 to 65535"),
    (text_of(server={"port": "8080"}), "server.port: give a whole number, not a text"),
    (text_of(server={"port": True}), "server.port: give a whole number, not true or false"),
    (text_of(server={"prot": 80}), 'server.prot: unknown field; did you mean "port"?'),
    (
        text_of(vault={"encryption_key_env": "A-B"}),
        "vault.encryption_key_env: give the name of an environment variable",
    ),
    (text_of(providers={}), "providers: give a list"),
    (text_of(providers=["openai"]), "providers[0]: give an object"),
    (text_of(providers=[without(PROVIDER, "name")]), "providers[0].name: missing"),
    (text_of(providers=[without(PROVIDER, "type")]), "providers[0].type: missing"),
    (text_of(models=[without(MODEL, "id")]), "models[0].id: missing"),
    (text_of(models=[without(MODEL, "provider")]), "models[0].provider: missing"),
    (text_of(models=[without(MODEL, "context_size")]), "models[0].context_size: missing"),
    (text_of(providers=[PROVIDER, PROVIDER]), 'providers[1].name: "openai" is already the name of providers[0]'),
    (text_of(models=[MODEL, MODEL]), 'models[1].id: "gpt-4" is already the id of models[0]'),
    (
        text_of(models=[MODEL, MODEL | {"id": "b", "aliases": ["gpt-4"]}]),
        'models[1].aliases: "gpt-4" is the id of models[0]',
    ),
    (
        text_of(model={"provider": "opanai"}),
        'models[0].provider: no provider is named "opanai"; did you mean "openai"?',
    ),
    (text_of(model={"cost_per_1K": 1}), 'models[0].cost_per_1K: unknown field; did you mean "cost_per_1k"?'),
    (text_of(model={"a\x1bb": 1}), 'models[0]["a\\u001bb"]: unknown field'),
]

PROVIDERS: list[tuple[dict[str, Any], str]] = [
    ({"name": 7}, ".name: give a text, not a number"),
    ({"name": "open\x00ai"}, ".name: holds a control character"),
    ({"name": "two\nlines"}, ".name: holds a control character"),
    ({"name": "-dash"}, ".name: Letters, digits and"),
    ({"name": "n" * 65}, ".name: Ensure this value has at most 64 characters (it has 65)."),
    ({"type": "vlm"}, ".type: Value 'vlm' is not a valid choice; did you mean \"vllm\"?"),
    ({"type": "vllm"}, ".base_url: A provider of this type needs the URL where it lives."),
    ({"base_url": "localhost:8000"}, ".base_url: Give a URL that begins with http:// or https://"),
    ({"base_url": "http://user:pass@host"}, ".base_url: A URL holds no credentials"),
    ({"api_key_env": "sk-live-123"}, ".api_key_env: give the name of an environment variable"),
    ({"api_key_env": "lower_case"}, ".api_key_env: A variable has capital letters, digits and _ only"),
    ({"api_key_env": "TOKENHUB_ENCRYPTION_KEY"}, ".api_key_env: TOKENHUB_ENCRYPTION_KEY belongs to the gateway itself"),
    ({"api_key_env": "A" * 101}, ".api_key_env: Ensure this value has at most 100 characters (it has 101)."),
    ({"api_key": "sk-1"}, ".api_key: give either api_key or api_key_env, not both"),
    ({"api_key": " "}, ".api_key: empty"),
    ({"api_key": 5}, ".api_key: give a text, not a number"),
    ({"api_key": "sk-1\n"}, ".api_key: holds a control character"),
    ({"enabled": 1}, ".enabled: give true or false, not a number"),
    ({"enabled": None}, ".enabled: give true or false, not nothing (null)"),
    ({"note": "\x1b[2J"}, ".note: holds a control character"),
    ({"connect_timeout": True}, ".connect_timeout: give a number, not true or false"),
    ({"connect_timeout": 0}, ".connect_timeout: Give seconds: more than 0, and no more than a day."),
    ({"connect_timeout": 1e9}, ".connect_timeout: Give seconds: more than 0, and no more than a day."),
    ({"total_timeout": 10**400}, ".total_timeout: the number is too large"),
    ({"extra_headers": ["X-Team"]}, ".extra_headers: give an object of texts, not a list"),
    ({"extra_headers": {"X-Team": 1}}, ".extra_headers: give a text, not a number"),
    (
        {"extra_headers": {"Authorization": "Bearer x"}},
        ".extra_headers: The header 'Authorization' is not a row's to set.",
    ),
]

MODELS: list[tuple[dict[str, Any], str]] = [
    ({"id": "auto"}, '.id: "auto" is how a caller lets the router choose; it cannot be an id.'),
    ({"id": ""}, ".id: This field cannot be blank."),
    ({"name": ""}, ".name: This field cannot be blank."),
    ({"weight": "90"}, ".weight: give a number, not a text"),
    ({"weight": 10**400}, ".weight: the number is too large"),
    ({"cost_per_1k": True}, ".cost_per_1k: give a number, not true or false"),
    ({"cost_per_1k": -0.01}, ".cost_per_1k: Ensure this value is greater than or equal to 0."),
    ({"cost_per_1k": 0.0000000001}, ".cost_per_1k: Ensure that there are no more than 9 decimal places."),
    ({"cost_per_1k": 1e300}, ".cost_per_1k: Ensure that there are no more than 14 digits in total."),
    ({"input_per_1k": -1}, ".input_per_1k: Ensure this value is greater than or equal to 0."),
    ({"context_size": 0}, ".context_size: Ensure this value is greater than or equal to 1."),
    ({"context_size": 4096.5}, ".context_size: give a whole number, not a number with a fraction"),
    ({"context_size": 10**30}, ".context_size: Ensure this value is less than or equal to"),
    ({"context_size": None}, ".context_size: give a whole number, not nothing (null)"),
    ({"rpm": 0}, ".rpm: Ensure this value is greater than or equal to 1."),
    ({"concurrent": 1.5}, ".concurrent: give a whole number, not a number with a fraction"),
    ({"max_output_tokens": 0}, ".max_output_tokens: Ensure this value is greater than or equal to 1."),
    ({"capabilities": "chat"}, ".capabilities: give a list of texts, not a text"),
    ({"capabilities": []}, ".capabilities: This field cannot be blank."),
    ({"capabilities": ["chat", "chat"]}, ".capabilities: The capabilities name something twice."),
    ({"capabilities": ["caht"]}, ".capabilities: Unknown: caht. Known: chat, completion,"),
    ({"aliases": ["auto"]}, '.aliases: "auto" is how a caller lets the router choose; it cannot be an alias.'),
    ({"aliases": ["two words"]}, ".aliases: "),
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *TEXT,
        *STRUCTURE,
        *((text_of(provider=change), f"providers[0]{fault}") for change, fault in PROVIDERS),
        *((text_of(model=change), f"models[0]{fault}") for change, fault in MODELS),
    ],
    ids=lambda value: value[:60],
)
def test_every_kind_of_fault_is_told_with_its_place(text: str, fault: str, tmp_path: Path) -> None:
    found = faults_of(text, tmp_path)
    assert any(line.startswith(fault) for line in found), found
    assert len({line.partition(":")[0] for line in found}) == len(found), "one fault a place"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "places"),
    [
        (text_of(providers=[{}], models=[]), ["providers[0].name", "providers[0].type"]),
        (text_of(models=[{}]), ["models[0].id", "models[0].provider", "models[0].context_size"]),
        (text_of(model={"id": 5}), ["models[0].id"]),
        (text_of({"type": "vllm", "base_url": 5}), ["providers[0].base_url"]),
        (text_of({"type": None}), ["providers[0].type"]),
    ],
)
def test_one_mistake_is_told_once(text: str, places: list[str], tmp_path: Path) -> None:
    assert [fault.partition(":")[0] for fault in faults_of(text, tmp_path)] == places


def test_a_file_is_judged_without_a_database() -> None:
    with pytest.raises(ConfigInvalid) as error:
        read_and_check(text_of({"connect_timeout": 0, "type": "vllm"}, {"cost_per_1k": -1, "weight": "x"}))
    assert {fault.path for fault in error.value.faults} == {
        "providers[0].connect_timeout",
        "providers[0].base_url",
        "models[0].cost_per_1k",
        "models[0].weight",
    }


def test_a_reader_without_django_tells_all_it_can() -> None:
    with pytest.raises(ConfigInvalid) as error:
        read(text_of({"enabled": 1}, {"context_size": "big", "aliases": 3}))
    assert {fault.path for fault in error.value.faults} == {
        "providers[0].enabled",
        "models[0].context_size",
        "models[0].aliases",
    }
