"""Pictures and files as OpenAI's formats send them: at an address, or in a data URL."""

import base64
import binascii
from typing import Final

from gateway.conversation import Document, Untranslatable
from gateway.wire.fields import Fields

_PDF: Final = "application/pdf"
_TEXTS_BY_ANOTHER_NAME: Final = frozenset({"application/json", "application/xml", "application/yaml"})
_LINKS: Final = ("https://", "http://")


def read_source(told: Fields, name: str) -> tuple[str, str, str]:
    """Return the address in a field, or else its media type and its base64 where it is a data URL."""
    if told.values.get("file_id"):
        raise Untranslatable(told.at("file_id"))
    given = told.required(name, str)
    if given.startswith(_LINKS):
        return given, "", ""
    head, comma, data = given.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    if not (head.startswith("data:") and head.endswith(";base64") and comma and media_type):
        raise told.refusal(name, "must be a web address, or a data URL in base64 with its media type.")
    return "", media_type, data


def read_document(told: Fields, name: str) -> Document:
    """Return a file: a PDF as it is, and a text as its words. Other formats are read by OpenAI's models alone."""
    url, media_type, data = read_source(told, name)
    title = told.text("filename")
    if url or media_type == _PDF:
        return Document(url=url, data=data, media_type=media_type, name=title)
    if not media_type.startswith("text/") and media_type not in _TEXTS_BY_ANOTHER_NAME:
        raise Untranslatable(told.at(name))
    try:
        return Document(text=base64.b64decode(data, validate=True).decode(), name=title)
    except (binascii.Error, UnicodeDecodeError):
        raise told.refusal(name, "must be a text in UTF-8, in base64.") from None
