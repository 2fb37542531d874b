"""No negotiation: the endpoint and the body decide the format, so no `Accept` is refused."""

from collections.abc import Iterable

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OnlyFormat(BaseContentNegotiation):
    """Takes the first parser and the first renderer, whatever the headers say."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the view's only parser, if it has one."""
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the view's only renderer."""
        only = next(iter(renderers))
        return only, only.media_type or ""
