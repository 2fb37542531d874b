"""What a provider's refusal means: judged by its status first, then its code, then its words.

Sources: the public error pages of OpenAI and Anthropic, and the recorded bodies in `fixtures/wire/`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from gateway import errors

_OVERFLOW: Final = re.compile(
    r"maximum context length|exceeds the context window|prompt is too long|exceed context limit|longer than the model's"
    r" context length|exceeds the maximum number of tokens|input is too long|too many input tokens|exceed_context_size"
    r"|`inputs` tokens \+ `max_new_tokens`",
    re.IGNORECASE,
)
_NO_OVERFLOW: Final = re.compile(r"rate limit|quota|per minute|\bTPM\b", re.IGNORECASE)
_UNKNOWN_MODEL: Final = re.compile(r"model.*(does not exist|not found|not supported)|unknown model", re.IGNORECASE)
_SHOWN_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal as far as it could be read."""

    status: int
    code: str
    message: str
    body: dict[str, Any] | None


def classify(
    status: int, headers: Mapping[str, str], raw: bytes, *, provider: str, secret: str
) -> errors.ProviderFailure:
    """Return the failure that a reply other than 200 stands for; `secret` is removed wherever the reply quotes it."""
    if secret:
        raw = raw.replace(secret.encode(), "••••".encode())
    refusal = _read(status, raw)
    retry_after = read_retry_after(headers)
    said = f"{provider} answered {status}: {refusal.message[:_SHOWN_CHARACTERS]}"
    if status in {400, 413, 422} and _is_overflow(refusal):
        return errors.Overflowed(said, upstream_status=status)
    if status == 402 or (status in {403, 429} and refusal.code == "insufficient_quota"):
        return errors.QuotaSpent(said, upstream_status=status, retry_after=retry_after)
    if refusal.code == "model_not_found" or (status in {400, 404} and _UNKNOWN_MODEL.search(refusal.message)):
        return errors.UnknownThere(said, upstream_status=status)
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind(said, upstream_status=status, retry_after=retry_after)
    if 400 <= status < 500:
        return errors.Rejected(said, upstream_status=status, body=refusal.body)
    return errors.Broken(said, upstream_status=status)


_BY_STATUS: Final[Mapping[int, type[errors.ProviderFailure]]] = {
    401: errors.CredentialsRefused,
    403: errors.CredentialsRefused,
    404: errors.UnknownThere,
    408: errors.Overloaded,
    429: errors.RateLimited,
    502: errors.Overloaded,
    503: errors.Overloaded,
    504: errors.Overloaded,
    529: errors.Overloaded,
}


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` (number or HTTP date) ask for; None if neither does."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None or not value:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - _date(headers))
    except ValueError:
        return None


def _date(headers: Mapping[str, str]) -> float:
    """Return the provider's own clock, by which its `retry-after` date counts."""
    return parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else float("inf")


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _read(status: int, raw: bytes) -> _Refusal:
    """Read the shapes seen from real servers: an object or a text under `error`, `detail`, or no JSON at all."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _Refusal(status, "", raw.decode(errors="replace").strip(), None)
    if not isinstance(body, dict):
        return _Refusal(status, "", str(body), None)
    error = body.get("error", body)
    if not isinstance(error, dict):
        return _Refusal(status, "", str(error), None)
    message = error.get("message") or error.get("detail") or orjson.dumps(error).decode()
    code = error.get("code")
    is_openai = isinstance(body.get("error"), dict) and isinstance(error.get("message"), str)
    if not isinstance(code, str):
        # some servers repeat the HTTP status here, where clients expect a word or nothing
        error["code"] = None
    return _Refusal(
        status,
        code if isinstance(code, str) else str(error.get("type") or ""),
        str(message),
        body if is_openai else None,
    )


def _is_overflow(refusal: _Refusal) -> bool:
    if refusal.code in {"context_length_exceeded", "exceed_context_size_error"}:
        return True
    return bool(_OVERFLOW.search(refusal.message)) and not _NO_OVERFLOW.search(refusal.message)
