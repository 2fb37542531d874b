"""What the documents say is so: every setting, field, error code and link in them exists, and the other way round."""

import inspect
import re
import shlex
from pathlib import Path

import orjson
import pytest
import requests

from gateway import errors
from registry.config import read_and_check
from registry.config.schema import ALIAS, MODEL, PROVIDER
from tests.server import ROOT, Gateway
from tests.test_promises import ROOMS
from tokenhub_site import variables

README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md"])
# The command line's own variables, and those that belong to a compose file or to Python.
SOURCES = [ROOT / "tokenhub_site" / name for name in ("settings.py", "gunicorn_conf.py", "start.py")]
READERS = r"env\.\w+|address|token|file|webhook|whole|decimal|switch|choice"


def section(title: str) -> str:
    """Return the part of the README under a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    """Return the README's code of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_it_works() -> None:
    for words in (
        "make run",
        "make test",
        "from openai import OpenAI",
        "curl http://localhost:8080/v1/chat/completions",
    ):
        assert words in README


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_table_has_a_head_and_as_many_columns_in_every_row(path: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        rows = table.splitlines()
        assert len(rows) > 2, table
        assert re.fullmatch(r"\|(?:\s*:?-+:?\s*\|)+", rows[1]), table
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(columns) == 1, table


def test_every_setting_is_in_the_table() -> None:
    code = "".join(source.read_text() for source in SOURCES)
    read = set(re.findall(rf'(?:{READERS}|environ\.get)\(\s*"([A-Z_]+)"', code))
    read |= set(re.findall(r'"(TOKENHUB_ENCRYPTION_KEY)"', code)) | {"TOKENHUB_ENCRYPTION_KEY_FILE"}
    rows = [line.split("|")[1] for line in section("Settings").splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == read


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    code = "".join(source.read_text() for source in SOURCES)
    for name in set(re.findall(rf'(?:{READERS})\(\s*"([A-Z_]+)"', code)) - {"TOKENHUB_KEY_VARIABLE"}:
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    known = {name: variable for name, variable in variables.TABLE.items() if name in shown}
    assert len(known) > 10
    assert {name: variable.parse(shown[name]) for name, variable in known.items()} == {
        name: variable.default for name, variable in known.items()
    }


def test_every_id_of_a_check_is_in_the_table() -> None:
    code = "".join(path.read_text() for room in ROOMS for path in sorted((ROOT / room).glob("*.py")))
    ids = set(re.findall(rf"\b(?:{'|'.join(ROOMS)}|site)\.[EW]\d{{3}}\b", code))
    told = re.findall(r"^\| `([a-z]+\.[EW]\d{3})` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert told == sorted(ids)


@pytest.mark.parametrize(("title", "fields"), [("provider", PROVIDER), ("model", MODEL), ("alias", ALIAS)])
def test_every_field_of_the_file_is_in_a_table(title: str, fields: dict[str, object]) -> None:
    table = section("The configuration file").split(f"| {title} | |\n")[1].split("\n\n")[0]
    further = (ROOT / "docs/providers.md").read_text().split("| field | |\n")[1].split("\n\n")[0]
    rows = table.splitlines() + (further.splitlines() if title == "provider" else [])
    names = [name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row.split("|")[1])]
    assert sorted(names) == sorted(fields)


def test_every_error_is_in_the_table() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    classes = [kind for kind in kinds if issubclass(kind, errors.GatewayError)]
    told = set(re.findall(r"`([a-z_]+)`", section("The API").split("| status | code |")[1].split("\n\n")[0]))
    assert {kind.code for kind in classes} == told


def test_the_example_of_a_file_loads() -> None:
    (example,) = blocks("json")
    config = read_and_check(example)
    assert [model.name for model in config.models] == ["gpt-4", "llama-local"]


def test_the_commands_work(tmp_path: Path) -> None:
    (curl,) = (block for block in blocks("sh") if "curl" in block)
    words = shlex.split(curl)
    body = orjson.loads(words[words.index("-d") + 1])
    (python,) = blocks("python")
    with Gateway(tmp_path, orjson.loads((ROOT / "fixtures/config/demo.json").read_bytes())) as gateway:
        answer = requests.post(words[1].replace("http://localhost:8080", gateway.url), json=body, timeout=10)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello, hub"
        names: dict[str, object] = {}
        exec(compile(python.replace("http://localhost:8080", gateway.url), "README.md", "exec"), names)
        exported = gateway.run("exportconfig")
        assert [row["id"] for row in orjson.loads(exported.stdout)["models"]] == [
            "echo-1",
            "echo-embedding",
            "echo-large",
        ]
        for command in ("rotatekeys --dry-run", "loadconfig fixtures/config/basic.json --dry-run --keep-edits --prune"):
            assert gateway.run(*command.split()).returncode == 0


def test_the_examples_of_clients_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/clients.md").read_text()
    (curl,) = re.findall(r"```sh\n(curl .*?)```", page, re.DOTALL)
    words = shlex.split(curl)
    with Gateway(tmp_path, orjson.loads((ROOT / "fixtures/config/demo.json").read_bytes())) as gateway:
        for python in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(compile(python.replace("http://localhost:8080", gateway.url), "clients.md", "exec"), {})
        assert capsys.readouterr().out.splitlines() == ["Hello, hub", "Hello, hub", "256"]
        body = orjson.loads(words[words.index("-d") + 1])
        answer = requests.post(words[1].replace("http://localhost:8080", gateway.url), json=body, timeout=10)
        assert answer.json()["content"][0]["text"] == "Hello, hub"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target
