"""The words in which the document is written: JSON schemas, each in one line.

Source: JSON Schema, draft 2020-12, which is that of OpenAPI 3.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]

ANYTHING: Final[Schema] = {}


def text(about: str = "", **bounds: Any) -> Schema:
    """Return a text."""
    return _told({"type": "string", **bounds}, about)


def whole(about: str = "", **bounds: Any) -> Schema:
    """Return a whole number."""
    return _told({"type": "integer", **bounds}, about)


def number(about: str = "", **bounds: Any) -> Schema:
    """Return a number."""
    return _told({"type": "number", **bounds}, about)


def switch(about: str = "", **bounds: Any) -> Schema:
    """Return what is true or false."""
    return _told({"type": "boolean", **bounds}, about)


def constant(value: Any, about: str = "") -> Schema:
    """Return what is always the same."""
    return _told({"const": value}, about)


def among(values: Sequence[str], about: str = "") -> Schema:
    """Return one of some texts."""
    return _told({"type": "string", "enum": list(values)}, about)


def listed(items: Schema, about: str = "", **bounds: Any) -> Schema:
    """Return a list."""
    return _told({"type": "array", "items": items, **bounds}, about)


def mapped(values: Schema, about: str = "") -> Schema:
    """Return an object with any names."""
    return _told({"type": "object", "additionalProperties": values}, about)


def thing(properties: Mapping[str, Schema], *, about: str = "", optional: Sequence[str] = ()) -> Schema:
    """Return an object that the gateway writes: all of its fields are there but those in `optional`."""
    required = [name for name in properties if name not in optional]
    return _told({"type": "object", "properties": properties, "required": required}, about)


def asked(properties: Mapping[str, Schema], *, required: Sequence[str] = (), about: str = "") -> Schema:
    """Return an object that a caller writes: null counts as left out, and what is not known is passed on."""
    told = {name: each if name in required else or_null(each) for name, each in properties.items()}
    schema: dict[str, Any] = {"type": "object", "properties": told, "additionalProperties": True}
    return _told(schema | ({"required": list(required)} if required else {}), about)


def either(*schemas: Schema, about: str = "") -> Schema:
    """Return what is one of these or several at once."""
    return _told({"anyOf": list(schemas)}, about)


def or_null(schema: Schema) -> Schema:
    """Return the same, or null."""
    if not schema.keys() - {"description"}:
        return schema
    if isinstance(schema.get("type"), str):
        values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [schema["type"], "null"], **values}
    inner = {name: value for name, value in schema.items() if name != "description"}
    about = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [*(inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]), {"type": "null"}], **about}


def ref(name: str) -> Schema:
    """Return the schema of this name among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def _told(schema: Schema, about: str) -> Schema:
    return {**schema, "description": about} if about else schema
