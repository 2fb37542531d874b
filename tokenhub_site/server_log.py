"""Gunicorn's own log: its words in the same lines of JSON as all others."""

import logging
from typing import Any

from gunicorn.glogging import Logger

from tokenhub_site.logs import JsonLines


class NoBodies(logging.Filter):
    """Keeps what could not be read as a request out of the log: it may be what is left of a body."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut the words that follow the reason."""
        if isinstance(record.msg, str) and record.msg.startswith("Invalid request"):
            record.msg, record.args = record.getMessage().partition(": ")[0], ()
        return True


class ServerLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's logger with the gateway's format."""

    def setup(self, cfg: Any) -> None:
        """Prepare the handlers as gunicorn does, and then their format."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())
            handler.addFilter(NoBodies())
