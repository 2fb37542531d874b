"""How many tokens a prompt is about, told from its bytes alone, and how many its answer may take.

The weights are fitted to six public vocabularies; docs/tokens.md says how far off they are, and why no vocabulary is
part of the gateway.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

_LOWER: Final = bytes(range(0x61, 0x7B))
_UPPER: Final = bytes(range(0x41, 0x5B))
_DIGITS: Final = bytes(range(0x30, 0x3A))
_BLANKS: Final = b" \t\r\n"
_PUNCTUATION: Final = bytes(set(range(0x21, 0x7F)).difference(_LOWER, _UPPER, _DIGITS))

_FURTHER_BYTES: Final = bytes(range(0x80, 0xC0))  # all but the first byte of a character, in UTF-8

# In hundredths of a token. A word, a number or a row of signs costs something for being there, ...
_A_RUN: Final = tuple(
    (bytes(byte in members for byte in range(256)), weight)
    for members, weight in ((_LOWER, 45), (_DIGITS, 70), (_PUNCTUATION, 80))
)
# ... and more for being long. Outside ASCII the first byte tells the script of a character. Vocabularies differ there,
# by up to a factor of six; these weights lie between them.
_A_CHARACTER: Final = (
    (_LOWER, 12),
    (_BLANKS, 5),
    (_PUNCTUATION, 10),
    (_UPPER, 60),
    (_DIGITS, 60),
    (bytes(range(0xD0, 0xD4)), 40),  # Cyrillic
    (bytes(range(0xD8, 0xE0)), 45),  # Arabic
    (bytes(range(0xCE, 0xD8)), 50),  # Greek, Armenian, Hebrew
    (bytes(range(0xC2, 0xCE)), 120),  # Latin letters with accents
    (b"\xe0", 60),  # the scripts of India, Thai
    (b"\xe1", 70),  # Georgian, Burmese, Khmer
    (b"\xe2", 60),  # quotation marks, arrows, mathematics, boxes
    (bytes(range(0xEA, 0xEE)), 80),  # Korean
    (bytes(range(0xE3, 0xEA)), 85),  # Chinese, Japanese
    (bytes(range(256)), 150),  # emoji, and all the rest
)

_TOLD: Final = ("system", "messages", "prompt", "instructions", "input", "response_format", "text")
_TOLD_AS_JSON: Final = ("tools", "functions")
# The schema of an answer in OpenAI's two formats, and a tool's arguments in Anthropic's.
_TOLD_AS_JSON_WITHIN: Final = frozenset({"json_schema", "schema", "input"})
_NEVER_TOLD: Final = frozenset(
    {
        *("role", "type", "id", "tool_call_id", "tool_use_id", "call_id", "cache_control", "signature"),
        *("status", "encrypted_content", "annotations", "logprobs", "phase", "verbosity"),
    }
)
_IN_MESSAGES: Final = ("messages", "input")
_TOKENS_A_MESSAGE: Final = 4  # role and separators
_TOKENS_AN_IMAGE: Final = 765  # OpenAI's figure for 1024 x 1024 at high detail
_TOKENS_AN_IMAGE_IN_LOW_DETAIL: Final = 85
# Of base64: 10 tokens for a second of sound at 128 kbit/s, 260 for one of film at 1 Mbit/s, 2,000 for a page of 75 kB.
_CHARACTERS_A_TOKEN: Final = {"audio": 2000, "video": 600, "file": 50, "document": 50}

_DEFAULT_ROOM: Final = 4096  # which every model of the last years can give


def estimate(body: Mapping[str, Any]) -> int:
    """Return about how many tokens a body takes: its system text, its history, its tools and what is attached.

    The time is linear: about 1 ms for 100 kB of text.
    """
    texts = [orjson.dumps(body[name]).decode() for name in _TOLD_AS_JSON if body.get(name)]
    attached = sum(_gather(body.get(name), texts) for name in _TOLD)
    count = sum(len(body[name]) for name in _IN_MESSAGES if isinstance(body.get(name), list))
    return _TOKENS_A_MESSAGE * count + attached + of_text("\n".join(texts))


def of_text(text: str) -> int:
    """Return about how many tokens a text takes; never less for a longer text that begins with it."""
    rest = text.encode("utf-8", "surrogatepass").translate(None, _FURTHER_BYTES)
    hundredths = sum(weight * _runs(rest.translate(marks)) for marks, weight in _A_RUN)
    for members, weight in _A_CHARACTER:
        others = rest.translate(None, members)
        hundredths += weight * (len(rest) - len(others))
        rest = others
        if not rest:
            break
    return -(-hundredths // 100)


def room(max_tokens: int | None, model_max_output: int | None, context_size: int) -> int:
    """Return how many tokens of a model's window are to be kept for its answer.

    What the caller allows, up to what the model can give. For a caller who names no limit, what the model can give, but
    at most a quarter of the window: a model of 128k that may answer with 64k must not be left out for a prompt of 80k.
    Where the registry does not know what the model can give, an eighth of the window and at most 4,096.
    """
    if max_tokens is not None:
        return min(max_tokens, model_max_output or max_tokens)
    if model_max_output is not None:
        return max(1, min(model_max_output, context_size // 4))
    return max(1, min(_DEFAULT_ROOM, context_size // 8))


def _runs(marks: bytes) -> int:
    """Return how many unbroken runs of ones there are among zeros."""
    number = int.from_bytes(marks, "big")
    changes = (number ^ number >> 8).bit_count()
    return (changes + 1) // 2


def _gather(value: Any, texts: list[str]) -> int:
    """Put the texts in a part of a body to the others, and return how many tokens its attachments and numbers take."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        return sum(_gather(part, texts) for part in value)
    elif isinstance(value, dict):
        return _of_attachment(value) or sum(_gather_field(name, field, texts) for name, field in value.items())
    return int(isinstance(value, int | float))


def _gather_field(name: str, field: Any, texts: list[str]) -> int:
    if name in _NEVER_TOLD:
        return 0
    if name in _TOLD_AS_JSON_WITHIN and isinstance(field, dict):
        field = orjson.dumps(field).decode()
    return _gather(field, texts)


def _of_attachment(part: Mapping[str, Any]) -> int:
    """Return about how many tokens an image, a sound, a film or a file takes; 0 for a part that is none of these.

    What a link leads to cannot be seen from here: it counts as an image.
    """
    kind = str(part.get("type")).removeprefix("input_").removesuffix("_url")
    if kind == "image":
        nested = part.get("image_url")
        detail = nested.get("detail") if isinstance(nested, dict) else part.get("detail")
        return _TOKENS_AN_IMAGE_IN_LOW_DETAIL if detail == "low" else _TOKENS_AN_IMAGE
    source = part.get("source")
    if kind not in _CHARACTERS_A_TOKEN or (isinstance(source, dict) and source.get("type") in ("text", "content")):
        return 0
    return max(_TOKENS_AN_IMAGE, _characters(part) // _CHARACTERS_A_TOKEN[kind])


def _characters(value: Any) -> int:
    """Return how many characters of text there are in a value, however deep."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return sum(_characters(part) for part in value)
    return len(value) if isinstance(value, str) else 0
