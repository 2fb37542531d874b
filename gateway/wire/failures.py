"""What a provider's refusal means: judged by its status first, then its code, then its words.

Sources: the public error pages of OpenAI and Anthropic, and the recorded bodies in `fixtures/wire/`.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from gateway import errors
from gateway.wire import bodies

_OVERFLOW: Final = re.compile(
    r"maximum context length|exceeds the context window|prompt is too long|exceed context limit"
    r"|longer than the (?:model's context length|maximum model length)|maximum prompt length is"
    r"|total number of tokens in the prompt cannot exceed"
    r"|tokens when context the overflows|^prompt too long"
    r"|exceeds the maximum number of tokens|input is too long|too many input tokens|exceed_context_size"
    r"|`inputs` tokens \+ `max_new_tokens`|`inputs` must have less than \d+ tokens",
    re.IGNORECASE,
)
_NO_OVERFLOW: Final = re.compile(r"rate limit|quota|per minute|\bTPM\b", re.IGNORECASE)

# Prompt and output do not fit together; where the prompt alone fits, there is room for a shorter output.
_TOGETHER: Final = re.compile(
    r"maximum context length is (?P<window_a>\d+) tokens.*\((?P<prompt_a>\d+) in (?:the messages|your prompt)"
    r"|maximum context length is (?P<window_b>\d+) tokens and your request has (?P<prompt_b>\d+) input tokens"
    r"|exceed context limit: (?P<prompt_c>\d+) \+ \d+ > (?P<window_c>\d+)"
    r"|`inputs` tokens \+ `max_new_tokens` must be <= (?P<window_d>\d+)\. Given: (?P<prompt_d>\d+)",
    re.IGNORECASE | re.DOTALL,
)
# The output is longer than the model ever writes, or the prompt's length is told as "at least", so the room is unknown.
_OUTPUT: Final = re.compile(
    r"supports at most (?P<most_a>\d+) completion tokens|max_tokens: \d+ > (?P<most_b>\d+), which is the maximum"
    r"|maximum tokens you requested exceeds the model limit of (?P<most_c>\d+)|^(?:Input validation error: )?"
    r"`max_new_tokens` must be <= (?P<most_d>\d+)|cannot be greater than max_model_len(?:=(?P<window>\d+))?"
    r"|max_completion_tokens' is too large"
    r"|you requested \d+ output tokens and your prompt contains at least \d+ input tokens",
    re.IGNORECASE,
)
# Providers quote what callers write: what follows is read of whole sentences, without what stands in quotes.
_QUOTED: Final = re.compile(r"'[^']{0,400}'|\"[^\"]{0,400}\"|`[^`]{0,400}`|input=\S+")
_NO_CREDIT: Final = re.compile(
    r"^(?:your credit balance is too low|you have reached your specified (?:workspace )?api usage limits"
    r"|billing hard limit has been reached)",
    re.IGNORECASE,
)
_NO_KEY: Final = re.compile(r"^(?:api key not valid|this organization has been disabled)", re.IGNORECASE)
_UNKNOWN_MODEL: Final = re.compile(
    r"^(?:error: )?(?:the )?(?:requested )?models?[ :/]+[\w./:@-]*\s*(?:is |was )?(?:does not exist|not found)"
    r"|^model not exist|^(?:unknown|invalid) model\b|^[\w./:@-]+ is not a valid model id|^no endpoints found for \S+$"
    r"|^the api deployment for this resource does not exist|^model: ",
    re.IGNORECASE,
)
# A 404 about nothing in particular, and one about a thing of the caller's.
_NOTHING_THERE: Final = re.compile(
    r"^\W*(?:\d{3} )?(?:the )?(?:requested )?(?:file|page|path|url|resource|endpoint)?"
    r"\W*(?:was )?(?:not found)?\W*$|^<",
    re.IGNORECASE,
)
_SOMETHING_OF_THE_CALLERS: Final = re.compile(
    r"^no such (?!model)|\b(?:file|item|image|response|assistant|thread|batch|conversation|vector store)\b.*"
    r"(?:not found|does not exist)",
    re.IGNORECASE,
)
_MODERATED: Final = re.compile(
    r"\b(?:input|prompt|request|content|message|text|image)s?\b.{0,80}"
    r"(?:flagged|moderat|content[ _](?:policy|filter|management)|safety system|usage polic)"
    r"|(?:flagged|moderat|content[ _](?:policy|filter|management)).{0,80}\b(?:input|prompt|request|content|message)",
    re.IGNORECASE,
)
_SHOWN_CHARACTERS: Final = 500
_READ_CHARACTERS: Final = 4000  # patterns are not searched for in a megabyte
_READ_LEVELS: Final = 100  # and nothing is made of what is nested deeper, which could not be written again either


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
    read = _read(status, raw)
    message = errors.hidden(read.message[:_READ_CHARACTERS], secret)
    refusal = replace(read, message=message, body=errors.hidden(read.body, secret))
    retry_after = read_retry_after(headers)
    said = f"{provider} answered {status}: {refusal.message[:_SHOWN_CHARACTERS]}"
    return _judged(refusal, said, retry_after)


def in_band(error: Any) -> errors.ProviderFailure:
    """Return the failure that an error within an answer of status 200 stands for.

    `error` is the text or the object that stands under `error`, in the form of OpenAI or of Anthropic. Its status is
    the number that some servers give as `code`, or the one that its word usually comes with.
    """
    if isinstance(error, dict | list) and bodies.is_deeper_than(error, _READ_LEVELS):
        return errors.Broken("The provider sent an error that is nested too deep.", upstream_status=500)
    told = error if isinstance(error, dict) else {"message": error}
    code = told.get("code")
    words = [word for word in (code, told.get("type")) if isinstance(word, str) and word]
    message = str(told.get("message") or error)
    body = (
        {"error": {**told, "code": code if isinstance(code, str) else None}}
        if isinstance(told.get("message"), str)
        else None
    )
    status = _status_in_band(code, words)
    refusal = _Refusal(status or 400, words[0] if words else "", message[:_READ_CHARACTERS], body)
    said = f"The provider broke off: {message[:_SHOWN_CHARACTERS]}"
    if too_long := _too_long(replace(refusal, status=400), said):
        return too_long
    failure = _judged(refusal, said, None)
    if status is None and type(failure) is errors.Rejected:
        return errors.Doubtful(said, upstream_status=400, body=body)
    return failure


def _status_in_band(code: Any, words: Iterable[str]) -> int | None:
    """Return the status that an error in-band comes with elsewhere; None where it may be the caller's doing or not.

    Many servers call whatever goes wrong an invalid request.
    """
    number = int(code) if isinstance(code, str) and re.fullmatch(r"[45]\d\d", code) else code
    if isinstance(number, int) and 400 <= number <= 599:
        return number
    known = next((_STATUS_OF_WORD[word] for word in words if word in _STATUS_OF_WORD), None)
    return known if known or "invalid_request_error" in words else 500


def _judged(refusal: _Refusal, said: str, retry_after: float | None) -> errors.ProviderFailure:
    """Return what a refusal stands for; `said` is the message for people."""
    if too_long := _too_long(refusal, said):
        return too_long
    kind = _kind(refusal, _QUOTED.sub("", refusal.message).strip())
    if issubclass(kind, errors.Rejected):
        return kind(said, upstream_status=refusal.status, body=refusal.body)
    return kind(said, upstream_status=refusal.status, retry_after=retry_after)


def _kind(refusal: _Refusal, words: str) -> type[errors.ProviderFailure]:
    """Return what the first sign that stands points to; `words` is the message without what it quotes."""
    status, code = refusal.status, refusal.code
    is_unpaid = status == 402 or (status in {403, 429} and code == "insufficient_quota")
    signs: tuple[tuple[object, type[errors.ProviderFailure]], ...] = (
        (is_unpaid or (status in {400, 403} and _NO_CREDIT.search(words)), errors.QuotaSpent),
        (status in {400, 403} and _NO_KEY.search(words), errors.CredentialsRefused),
        (code == "model_not_found", errors.UnknownThere),
        (status in {400, 404} and _UNKNOWN_MODEL.search(words), errors.UnknownThere),
        (status == 404 and _NOTHING_THERE.search(words), errors.UnknownThere),
        (status == 404 and _SOMETHING_OF_THE_CALLERS.search(words), errors.Rejected),
        (status == 404, errors.Doubtful),
        (status == 403 and _MODERATED.search(words), errors.Rejected),
        (status == 413 and code == "rate_limit_exceeded", errors.RateLimited),  # so many tokens at once
        (status in _BY_STATUS, _BY_STATUS.get(status, errors.Broken)),
        (400 <= status < 500, errors.Rejected),
    )
    return next((kind for stands, kind in signs if stands), errors.Broken)


_STATUS_OF_WORD: Final[Mapping[str, int]] = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "billing_hard_limit_reached": 402,
    "insufficient_quota": 402,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_BY_STATUS: Final[Mapping[int, type[errors.ProviderFailure]]] = {
    401: errors.CredentialsRefused,
    403: errors.PermissionRefused,
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
    except (ValueError, OverflowError):  # a date that is none, or of no year that there is
        return None


def _date(headers: Mapping[str, str]) -> float:
    """Return the provider's own clock, by which its `retry-after` date counts, or ours where it shows none."""
    return parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _read(status: int, raw: bytes) -> _Refusal:
    """Read the shapes seen from real servers: an object or a text under `error`, `detail`, or no JSON at all."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _Refusal(status, "", raw.decode(errors="replace").strip(), None)
    if isinstance(body, dict | list) and bodies.is_deeper_than(body, _READ_LEVELS):
        return _Refusal(status, "", raw[:_READ_CHARACTERS].decode(errors="replace"), None)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]  # Gemini
    if not isinstance(body, dict):
        return _Refusal(status, "", str(body), None)
    error = body.get("error", body)
    if not isinstance(error, dict):
        return _Refusal(status, "", str(error), None)
    message = error.get("message") or error.get("detail") or orjson.dumps(error).decode()
    code = error.get("code")
    is_handed_on = isinstance(body.get("error"), dict) and isinstance(error.get("message"), str)
    if not isinstance(code, str) and body.get("type") != "error":
        # some servers repeat the HTTP status here, where clients expect a word or nothing
        error["code"] = None
    return _Refusal(
        status,
        code if isinstance(code, str) else str(error.get("type") or ""),
        str(message),
        body if is_handed_on else None,
    )


def _too_long(refusal: _Refusal, said: str) -> errors.ProviderFailure | None:
    """Return the failure of a prompt, or of an output, that is too long; None for any other refusal."""
    status = refusal.status
    names_it = refusal.code in {"context_length_exceeded", "exceed_context_size_error"}
    if refusal.status not in {400, 413, 422} and not names_it:
        return None
    if _NO_OVERFLOW.search(refusal.message) and not names_it:
        return None
    if told := _TOGETHER.search(refusal.message):
        numbers = {name[:-2]: int(value) for name, value in told.groupdict().items() if value}
        room = numbers["window"] - numbers["prompt"]
        if room > 0:
            return errors.OutputTooLong(said, upstream_status=status, limit=room)
    elif told := _OUTPUT.search(refusal.message):
        window = told["window"]
        most = [int(value) for name, value in told.groupdict().items() if value and name != "window"]
        limit = most[0] if most else None
        return errors.OutputTooLong(said, upstream_status=status, limit=limit, window=int(window) if window else None)
    if names_it or _OVERFLOW.search(refusal.message):
        return errors.Overflowed(said, upstream_status=status)
    return None
