"""No negotiation: the endpoint and the body decide the format, so no `Accept` is refused."""

from collections.abc import Sequence

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OnlyFormat(BaseContentNegotiation):
    """Takes the first parser and the first renderer, whatever the headers say."""

    def select_parser(self, request: Request, parsers: Sequence[BaseParser]) -> BaseParser | None:
        """Return the view's only parser, if it has one."""
        return parsers[0] if parsers else None

    def select_renderer(
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the view's only renderer."""
        return renderers[0], renderers[0].media_type or ""
