"""What the fields of the registry's rows may hold, whatever the row."""

import math
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from registry.addresses import is_forbidden, literal

# Headers that belong to the connection, to the credentials or to the body, and are never a row's to set.
RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    }
)
# Headers that carry keys although they are reserved, and some that others see or log and that never carry one.
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})
_OPEN_HEADERS = frozenset({"accept", "accept-encoding", "origin", "referer", "traceparent", "user-agent"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = ("model", "endpoint")
_PATH_PART = re.compile(r"(?:[A-Za-z0-9._~-]|\{model\}|\{endpoint\})+")
_QUERY_NAME = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_SECRETIVE = frozenset({"access_token", "api-key", "api_key", "apikey", "key", "password", "secret", "sig", "token"})
LONGEST_QUERY = 500
_FIELD_PATH = re.compile(r"[A-Za-z0-9_-]+((\[\])?\.[A-Za-z0-9_-]+)*")
_LONGEST_FIELD_PATH = 64  # what a response header names
_INDISPENSABLE = frozenset({"input", "messages", "model", "prompt", "stream"})
ENDPOINTS = ("chat", "completions", "embeddings", "responses")
OWN_PREFIX = "tokenhub/"  # of the gateway's own virtual models
validate_characters = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$",
    "Letters, digits and . _ : / @ + - only, beginning with a letter or a digit.",
    code="characters",  # under "invalid", a JSON field would tell of bad JSON instead
)


def validate_base_url(value: str) -> None:
    """Refuse what is not a plain http(s) URL of a host, with an optional port and path."""
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port != 0
    except ValueError as error:
        raise ValidationError("This is not a URL: %(reason)s.", params={"reason": str(error)}) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValidationError("Give a URL that begins with http:// or https:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise ValidationError("A URL holds no credentials: they belong into the vault.")
    if parts.query or parts.fragment or any(character.isspace() for character in value):
        raise ValidationError("A base URL has no query, no fragment and no spaces.")
    # what the parsers of URLs read in different ways (backslashes, percent signs, wide digits) hides where it leads
    if not _HOST.fullmatch(re.sub(r":[0-9]*$", "", parts.netloc)):
        raise ValidationError("The host is a name in ASCII letters, an IPv4 address or an IPv6 address in brackets.")
    if parts.netloc.startswith("RESOURCE."):
        raise ValidationError("Put the name of your own resource in the place of RESOURCE.")
    if (address := literal(parts.hostname)) is not None and is_forbidden(address):
        raise ValidationError("This is a link-local, metadata or reserved address, which is never called.")


def validate_extra_headers(value: Any) -> None:
    """Refuse anything but `{name: text}` with names that a row may set and texts that stay on one line."""
    if not isinstance(value, dict):
        raise ValidationError('Give an object of header names and texts, such as {"X-Team": "search"}.')
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in RESERVED_HEADERS:
            raise ValidationError("The header %(name)r is not a row's to set.", params={"name": name})
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValidationError("The header %(name)s needs one line of ASCII text.", params={"name": name})


def validate_auth_header(value: str) -> None:
    """Refuse what is not the name of a header that may carry a key."""
    lower = value.lower()
    if not _HEADER_NAME.fullmatch(value):
        raise ValidationError("Give the name of a header, such as api-key.")
    if lower in _OPEN_HEADERS or lower in RESERVED_HEADERS - _KEY_HEADERS:
        raise ValidationError("The header %(name)s is not one for keys.", params={"name": value})


def validate_path(value: str) -> None:
    """Refuse what is not a relative path with the placeholder {endpoint}, and perhaps {model}."""
    unknown = [name for name in _PLACEHOLDER.findall(value) if name not in _PLACEHOLDERS]
    if unknown:
        told = "Unknown placeholder: %(unknown)s. Known: {model}, {endpoint}."
        raise ValidationError(told, params={"unknown": ", ".join(f"{{{name}}}" for name in unknown)})
    parts = value.split("/")
    if not all(_PATH_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise ValidationError("Give a path such as openai/deployments/{model}/{endpoint}, without a slash at its ends.")
    if "{endpoint}" not in value:
        raise ValidationError("A path says where {endpoint} stands, such as chat/completions.")


def validate_query(value: Any) -> None:
    """Refuse anything but `{name: text}` of plain names, which are not those of secrets."""
    if not isinstance(value, dict):
        raise ValidationError('Give an object of names and texts, such as {"api-version": "2024-10-21"}.')
    for name, text in value.items():
        if not _QUERY_NAME.fullmatch(name):
            raise ValidationError("The name %(name)r has other than letters, digits and . _ ~ -", params={"name": name})
        if name.lower() in _SECRETIVE:
            told = "The name %(name)s is one of a secret: keys rest in the vault and are sent in a header."
            raise ValidationError(told, params={"name": name})
        if not isinstance(text, str) or not text.isprintable():
            raise ValidationError("The parameter %(name)s needs one line of text.", params={"name": name})
    if len(urlencode(value)) > LONGEST_QUERY:
        raise ValidationError("The parameters are longer than %(most)s characters.", params={"most": LONGEST_QUERY})


def validate_unsupported(value: Any) -> None:
    """Refuse anything but a list of fields that a body can do without."""
    validate_names(value, "fields")
    for path in value:
        if len(path) > _LONGEST_FIELD_PATH or not _FIELD_PATH.fullmatch(path):
            told = "%(path)r is no field: give names such as seed, stream_options.include_usage or messages[].name."
            raise ValidationError(told, params={"path": path})
        if path in _INDISPENSABLE:
            raise ValidationError("No request goes without %(path)s.", params={"path": path})


def validate_endpoints(value: Any) -> None:
    """Refuse anything but a list of known endpoints."""
    validate_names(value, "endpoints")
    unknown = [name for name in value if name not in ENDPOINTS]
    if unknown:
        raise ValidationError(
            "Unknown: %(unknown)s. Known: %(known)s.",
            params={"unknown": ", ".join(unknown), "known": ", ".join(ENDPOINTS)},
        )


def validate_public_id(value: str) -> None:
    """Refuse what a caller could not send as the name of one model."""
    validate_characters(value)
    _refuse_reserved(value, "an id")


def validate_alias(value: str) -> None:
    """Refuse what a caller could not send as the name of a group of models."""
    validate_characters(value)
    _refuse_reserved(value, "an alias")


def validate_aliases(value: Any) -> None:
    """Refuse anything but a list of names that a caller could send."""
    validate_names(value, "aliases")
    for name in value:
        validate_alias(name)


def _refuse_reserved(name: str, what: str) -> None:
    if name == "auto":
        told = '"auto" is how a caller lets the router choose; it cannot be %(what)s.'
        raise ValidationError(told, params={"what": what})
    if name.lower().startswith(OWN_PREFIX):
        raise ValidationError("Names that begin with %(own)s are the gateway's own.", params={"own": OWN_PREFIX})


def validate_names(value: Any, what: str) -> None:
    """Refuse anything but a list of different texts; `what` they are is said in the refusal."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValidationError("The %(what)s are a list of texts.", params={"what": what})
    if len(set(value)) != len(value):
        raise ValidationError("The %(what)s name something twice.", params={"what": what})


def validate_finite(value: float) -> None:
    """Refuse nan and the infinities, which have no place in an order."""
    if not math.isfinite(value):
        raise ValidationError("Give a finite number.")


def validate_seconds(value: float) -> None:
    """Refuse what is no time to wait: nothing, less than nothing, or more than a day."""
    if not 0 < value <= 86_400:
        raise ValidationError("Give seconds: more than 0, and no more than a day.")
