"""Gunicorn's own log: its words in the same lines of JSON as all others."""

from typing import Any

from gunicorn.glogging import Logger

from tokenhub_site.logs import JsonLines


class ServerLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's logger with the gateway's format."""

    def setup(self, cfg: Any) -> None:
        """Prepare the handlers as gunicorn does, and then their format."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())
