"""Log records as lines of JSON: what a machine reads, with nothing in it that looks like a credential."""

import logging
import re
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

from gateway.exchange import current

logger = logging.getLogger(__name__)

# What credentials look like wherever they are quoted: bearer tokens, provider and client keys.
_CREDENTIAL = re.compile(r"(?i)(bearer\s+|\b(?:sk|pk|th|gsk|xai|hf|key)[-_])[A-Za-z0-9._~+/-]{6,}=*")

# The attributes that every record has; whatever else a record carries came in by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Return the text with everything that looks like a credential cut to its first characters."""
    return _CREDENTIAL.sub(r"\1…", text)


class NoCalls(logging.Filter):
    """Keeps out what Django says of answers to programs: those of the API have lines of their own, probes need none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is about something else."""
        path = getattr(getattr(record, "request", None), "path_info", "")
        is_of_a_probe = path.startswith("/health") and getattr(record, "status_code", 0) == 503
        return not (path.startswith("/v1") or is_of_a_probe)


def tell_of_strays(hub: Any) -> None:
    """Let the log tell what would be printed: warnings, and errors that nobody catches in greenlets and threads."""
    hub.print_exception = _stray
    threading.excepthook = lambda told: _stray(told.thread, told.exc_type, told.exc_value, told.exc_traceback)
    logging.captureWarnings(True)  # noqa: FBT003 - that is how it is called


def _stray(_: object, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logger.error("an error that nobody caught", exc_info=(kind, error or kind(), trace))


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the fields given by `extra=`.

    What is said while a call is answered has its `request_id`, and its `trace_id` where traces are exported.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if (call := current.get()) is not None:
            line |= {"request_id": call.id} | ({"trace_id": call.trace_id} if call.trace_id else {})
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = redact(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line, default=lambda value: redact(str(value)), option=orjson.OPT_NON_STR_KEYS).decode()
