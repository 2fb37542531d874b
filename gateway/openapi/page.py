"""The document for people: cut into what a page shows of it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_HERE: Final = "http://localhost:8080"
_SCHEMAS: Final = "#/components/schemas/"
_STREAM: Final = "text/event-stream"
_PLACE: Final = re.compile(r"\{(\w+)\}")
_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "{} or more",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "not empty",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {} of them",
    "default": "{} unless given",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words of a line, which may be code or lead to a shape."""

    text: str
    is_code: bool = False
    link: str = ""


Line = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Field:
    """A field, a header or a part of an address."""

    name: str
    kind: Line
    about: Line
    required: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """An object, by its fields, or what else there is to say of it."""

    name: str
    about: Line
    kind: Line
    fields: Sequence[Field]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered under a status; `lines` has the reasons of a refusal."""

    status: str
    lines: Sequence[Line]
    bodies: Sequence[tuple[str, Line]]
    """Types of media, and what they hold."""
    events: Sequence[tuple[str, Line]]
    headers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint."""

    id: str
    method: str
    path: str
    summary: str
    about: Line
    curl: str
    body: Shape | None
    parameters: Sequence[Field]
    answers: Sequence[Answer]


def groups(document: Mapping[str, Any]) -> list[tuple[str, list[Operation]]]:
    """Return the endpoints under the names of their groups."""
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(_operation(document, path, method, operation))
    return list(found.items())


def shapes(document: Mapping[str, Any]) -> list[Shape]:
    """Return all shapes, by name."""
    return [_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]


def headers(document: Mapping[str, Any]) -> list[Field]:
    """Return the headers of answers."""
    found = document["components"]["headers"].items()
    return [Field(name, tuple(_kind(header["schema"])), line(header["description"])) for name, header in found]


def line(words: str) -> Line:
    """Return a text whose code stands between backticks."""
    return [Piece(part, is_code=index % 2 == 1) for index, part in enumerate(words.split("`")) if part]


def _operation(document: Mapping[str, Any], path: str, method: str, told: Mapping[str, Any]) -> Operation:
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    body = None
    if content:
        name = content["schema"]["$ref"].removeprefix(_SCHEMAS)
        body = _shape(name, document["components"]["schemas"][name])
    return Operation(
        id=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"],
        about=line(told.get("description", "")),
        curl=_curl(path, told.get("parameters", ()), content),
        body=body,
        parameters=[_parameter(resolved(document, each)) for each in told.get("parameters", ())],
        answers=[_answer(status, resolved(document, answer)) for status, answer in told["responses"].items()],
    )


def resolved(document: Mapping[str, Any], told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference leads to; anything else as it is."""
    if "$ref" not in told:
        return told
    found: Any = document
    for step in told["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _curl(path: str, parameters: Sequence[Mapping[str, Any]], content: Mapping[str, Any] | None) -> str:
    examples = {each["name"]: each["schema"]["examples"][0] for each in parameters if each.get("in") == "path"}
    address = _HERE + _PLACE.sub(lambda place: str(examples[place[1]]), path)
    if content is None:
        return f"curl {address}"
    body = json.dumps(content["example"])
    return f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"


def _parameter(told: Mapping[str, Any]) -> Field:
    return Field(told["name"], tuple(_kind(told["schema"])), line(told.get("description", "")), told["required"])


def _answer(status: str, told: Mapping[str, Any]) -> Answer:
    content = told.get("content", {})
    return Answer(
        status=status,
        lines=[line(words.removeprefix("- ")) for words in told["description"].splitlines()],
        bodies=[(kind, () if kind == _STREAM else tuple(_kind(media["schema"]))) for kind, media in content.items()],
        events=[
            _event(event["properties"])
            for kind, media in content.items()
            for event in (media["schema"]["anyOf"] if kind == _STREAM else ())
        ],
        headers=list(told.get("headers", ())),
    )


def _event(told: Mapping[str, Any]) -> tuple[str, Line]:
    data = told["data"].get("contentSchema", told["data"])
    return told.get("event", {}).get("const", ""), tuple(_kind(data))


def _shape(name: str, schema: Mapping[str, Any]) -> Shape:
    required = schema.get("required", ())
    fields = [
        Field(field, tuple(_kind(inner)), line(inner.get("description", "")), field in required)
        for field, inner in schema.get("properties", {}).items()
    ]
    return Shape(name, line(schema.get("description", "")), () if fields else tuple(_kind(schema)), fields)


def _kind(schema: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield the words for a type. That a field may be null goes without saying, as it may be left out."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        yield Piece(name, link=f"#{name}")
    elif "const" in schema:
        yield Piece(str(schema["const"]), is_code=True)
    elif "enum" in schema:
        yield from _between([[Piece(value, is_code=True)] for value in schema["enum"] if value is not None], " or ")
    elif "anyOf" in schema:
        several = [[*_kind(each)] for each in schema["anyOf"] if each != {"type": "null"}]
        yield from _between(several, " or ")
    else:
        yield from _of_type(schema)


def _of_type(schema: Mapping[str, Any]) -> Iterator[Piece]:
    given = schema.get("type", "")
    kind = next((each for each in given if each != "null"), "") if isinstance(given, list) else given
    inner = schema.get("items") if kind == "array" else None
    yield Piece(_WORDS.get(kind, "anything"))
    if inner:
        yield Piece(" of ")
        yield from _kind(inner)
    elif schema.get("properties"):
        yield Piece(" with ")
        yield from _between([[Piece(name, is_code=True)] for name in schema["properties"]], ", ")
    if bounds := [form.format(json.dumps(schema[name])) for name, form in _BOUNDS.items() if name in schema]:
        yield Piece(f" ({', '.join(bounds)})")


def _between(several: Sequence[Sequence[Piece]], word: str) -> Iterator[Piece]:
    for index, each in enumerate(several):
        if index:
            yield Piece(word)
        yield from each
