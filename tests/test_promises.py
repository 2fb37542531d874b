"""The house limits, measured on the project's own source."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN_NAME = Path(__file__).relative_to(ROOT).as_posix()
ROOMS = ("vault", "registry", "accounts", "gateway", "tokenhub_site")

FILE_LINES = 400
FUNCTION_LINES = 40
TEST_FUNCTION_LINES = 60
NESTING = 3
BROAD_EXCEPTS = 3
PATCHES_PER_TEST = 0.05
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "services", "misc", "common"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar)


@cache
def tracked() -> tuple[str, ...]:
    """Return the names of the project's files: those that git tracks, and new ones that it does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


@cache
def text(name: str) -> str:
    """Return a file's text; what is no text in UTF-8 counts as empty."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree(name: str) -> ast.Module:
    """Return the syntax tree of a Python file."""
    return ast.parse(text(name), name)


def python(*folders: str) -> list[str]:
    """Return the Python files that people wrote (so no migrations), in all folders or in those given."""
    files = [name for name in tracked() if name.endswith(".py") and "/migrations/" not in name]
    return [name for name in files if not folders or name.startswith(tuple(f"{folder}/" for folder in folders))]


def product() -> list[str]:
    """Return the Python files that are neither tests nor benchmarks."""
    measured = set(python("tests", "bench"))
    return [name for name in python() if name not in measured]


def functions(name: str) -> Iterator[Function]:
    """Yield every function of a file, methods and inner functions too."""
    return (node for node in ast.walk(tree(name)) if isinstance(node, Function))


def every_test() -> list[tuple[str, Function]]:
    """Return every test with its file, in the order of the file."""
    found = [(name, function) for name in python("tests") for function in functions(name)]
    named = [(name, function) for name, function in found if function.name.startswith("test_")]
    return sorted((pair for pair in named if "/test_" in pair[0]), key=lambda pair: (pair[0], pair[1].lineno))


def lines_with(pattern: str, names: Iterable[str]) -> list[str]:
    """Return `file:line text` for every line that the pattern is found in; this file, which names it, is left out."""
    wanted = re.compile(pattern)
    return [
        f"{name}:{number} {line.strip()[:100]}"
        for name in names
        if name != OWN_NAME
        for number, line in enumerate(text(name).splitlines(), 1)
        if wanted.search(line)
    ]


def promise(found: list[str], what: str) -> None:
    """Fail with every place that breaks a promise."""
    if found:
        pytest.fail("\n  ".join([what, *found]), pytrace=False)


def test_it_works() -> None:
    assert {name.split("/")[0] for name in product()} >= set(ROOMS)
    assert OWN_NAME in tracked()
    assert every_test()


def test_files_are_short() -> None:
    sizes = {name: len(text(name).splitlines()) for name in python()}
    promise(
        [f"{name}: {size} lines" for name, size in sizes.items() if size > FILE_LINES],
        f"At most {FILE_LINES} lines a file.",
    )


def test_functions_are_short() -> None:
    long = []
    short = set(product())
    for name in python():
        most = FUNCTION_LINES if name in short else TEST_FUNCTION_LINES
        for function in functions(name):
            size = (function.end_lineno or function.lineno) - function.lineno + 1
            long += [f"{name}:{function.lineno} {function.name}: {size} lines"] if size > most else []
    promise(long, f"At most {FUNCTION_LINES} lines a function, {TEST_FUNCTION_LINES} in tests.")


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return how deep blocks stand inside each other; an `elif` stands beside its `if`, not in it."""
    depth += isinstance(node, BLOCKS)
    deepest = depth
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, nesting(child, depth - is_elif))
    return deepest


def test_blocks_are_shallow() -> None:
    found = [(name, function, nesting(function)) for name in product() for function in functions(name)]
    deep = [f"{name}:{function.lineno} {function.name}: {depth}" for name, function, depth in found if depth > NESTING]
    promise(deep, f"At most {NESTING} blocks inside each other.")


def test_nesting_is_counted_as_it_reads() -> None:
    assert nesting(ast.parse("if a:\n    b()\nelif c:\n    d()")) == 1
    assert nesting(ast.parse("for a in b:\n    with c:\n        if d:\n            e()")) == 3


def broad_names(node: ast.AST) -> bool:
    """Tell whether an exception type, or one of a tuple of them, takes everything."""
    return any(isinstance(part, ast.Name) and part.id in {"Exception", "BaseException"} for part in ast.walk(node))


def broad_excepts(name: str) -> Iterator[int]:
    """Yield the lines where every exception is caught: a broad `except`, or `suppress(Exception)`."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or broad_names(node.type)
        else:
            suppresses = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress")
            broad = suppresses and any(map(broad_names, ast.iter_child_nodes(node)))
        if broad and isinstance(node, ast.ExceptHandler | ast.Call):
            yield node.lineno


def test_broad_excepts_are_few_and_say_why() -> None:
    found = [(name, line) for name in product() for line in broad_excepts(name)]
    silent = [f"{name}:{line}" for name, line in found if "#" not in "".join(text(name).splitlines()[line - 2 : line])]
    promise(silent, "A broad except says why beside it.")
    places = [f"{name}:{line}" for name, line in found]
    promise(places if len(places) > BROAD_EXCEPTS else [], f"At most {BROAD_EXCEPTS} broad excepts in the project.")


def test_modules_have_names_that_say_something() -> None:
    promise(
        [name for name in python() if VAGUE_NAMES & set(Path(name).with_suffix("").parts)],
        "Name a module after what it is.",
    )


def test_nothing_is_left_for_later() -> None:
    words = r"\b(TODO|FIXME|XXX|NotImplementedError)\b"
    promise(
        lines_with(words, (name for name in tracked() if not name.startswith("requirements"))),
        "Finish it or leave it out.",
    )


def test_no_test_is_skipped() -> None:
    marks = {"skip", "skipif", "skipIf", "skipUnless", "skipTest", "SkipTest", "xfail", "importorskip"}
    found = [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name in python("tests")
        for node in ast.walk(tree(name))
        if (isinstance(node, ast.Attribute) and node.attr in marks) or (isinstance(node, ast.Name) and node.id in marks)
    ]
    promise(found, "A test runs, or it is not there.")


def test_every_module_opens_with_a_sentence() -> None:
    opening = {name: (ast.get_docstring(tree(name)) or "").split("\n\n")[0] for name in python() if text(name).strip()}
    wrong = [f"{name}:1 {first or 'no docstring'}" for name, first in opening.items() if not first.endswith((".", "?"))]
    promise(wrong, "A module opens with one sentence on what it is.")


def overrides(name: str, owner: str, method: str) -> bool:
    """Tell whether a method replaces one that a base class has, whose own words then say what it does."""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    value: object = importlib.import_module(module)
    for part in owner.split("."):
        value = getattr(value, part)
    assert isinstance(value, type)
    return any(hasattr(base, method) for base in value.__mro__[1:])


def undocumented(name: str, body: list[ast.stmt], owner: str = "") -> Iterator[str]:
    """Yield the public classes, functions and methods that have no docstring and nobody to inherit it from."""
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_") or node.name in {"Meta", "Media"}:
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        is_told = ast.get_docstring(node) is not None or marks & {"overload", "setter", "deleter"}
        inherits = bool(owner) and isinstance(node, Function) and not is_told and overrides(name, owner, node.name)
        if not is_told and not inherits:
            yield f"{name}:{node.lineno} {owner and f'{owner}.'}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(name, node.body, f"{owner}.{node.name}" if owner else node.name)


def test_public_things_say_what_they_do() -> None:
    promise(
        [place for name in python(*ROOMS) for place in undocumented(name, tree(name).body)],
        "A public thing has a docstring.",
    )


def test_imports_stand_at_the_top() -> None:
    late = [
        f"{name}:{node.lineno} {function.name}"
        for name in python()
        for function in functions(name)
        if not (function.name == "ready" and name.endswith("/apps.py"))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    promise(late, "Import at the top of the file; only an app's ready() may do otherwise.")


def test_the_readme_shows_the_two_commands() -> None:
    missing = [command for command in ("make run", "make test") if command not in text("README.md")]
    promise(missing, "README.md shows how to run it and how to test it.")


def test_no_file_knows_a_machine() -> None:
    promise(lines_with(r"(?<![\w.:/-])/(work|root|home|Users)/", tracked()), "No path of somebody's machine.")


def test_no_file_names_a_package_registry() -> None:
    hosts = r"(?i)pypi\.org|pythonhosted|(extra-)?index-url|find-links|--trusted-host|npmjs\.(org|com)|deb\.debian"
    promise(lines_with(hosts, tracked()), "Where packages come from is the installer's own business.")


def test_every_requirement_is_pinned_and_hashed() -> None:
    loose = []
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt"):
        entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text(name), flags=re.MULTILINE).strip())
        assert len(entries) > 20, name
        loose += [
            f"{name}: {entry.splitlines()[0]}"
            for entry in entries
            if not re.match(r"[\w.\[\]-]+==\S+[^\n]*\\\n +--hash=sha256:", entry)
        ]
    promise(loose, "Every package has one version and its hashes.")


def test_patches_are_rare() -> None:
    calls = [
        (name, node, ast.unparse(node.func))
        for name in python("tests")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call)
    ]
    patches = [
        f"{name}:{node.lineno} {called}"
        for name, node, called in calls
        if called == "monkeypatch.setattr" or re.fullmatch(r"(\w+\.)*patch(\.\w+)?", called)
    ]
    promise(
        patches if len(patches) >= PATCHES_PER_TEST * len(every_test()) else [],
        f"Under {PATCHES_PER_TEST} patches a test ({len(every_test())} tests).",
    )


def test_each_file_of_tests_begins_with_a_working_case() -> None:
    first: dict[str, str] = {}
    for name, function in every_test():
        first.setdefault(name, f"{name}:{function.lineno} {function.name}")
    promise(
        [place for place in first.values() if not place.endswith(" test_it_works")],
        "A file's first test is test_it_works.",
    )
