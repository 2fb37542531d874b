"""`GET /v1/openapi.json` and `GET /v1/docs`: the endpoints described, for programs and for people."""

from typing import Final

import orjson
from django.http import HttpResponse
from django.template.loader import render_to_string
from rest_framework.request import Request as RestRequest

from gateway.exchange import Once
from gateway.openapi import page
from gateway.openapi.document import written
from gateway.views.base import GatewayView
from registry import threads

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class OpenApi(GatewayView):
    """The document."""

    is_public = True

    def get(self, request: RestRequest) -> HttpResponse:
        """Return it."""
        return self.answer(threads.run(written.get))


class Docs(GatewayView):
    """The document as a page, which needs nothing from elsewhere."""

    is_public = True

    def get(self, request: RestRequest) -> HttpResponse:
        """Return it."""
        self.call.status = 200
        return HttpResponse(threads.run(_page.get), headers=self.answer_headers() | _HEADERS)


def _rendered() -> bytes:
    document = orjson.loads(written.get())
    told = {
        "info": document["info"],
        "openapi": document["openapi"],
        "about": [page.line(paragraph) for paragraph in document["info"]["description"].split("\n\n")],
        "groups": page.groups(document),
        "headers": page.headers(document),
        "shapes": page.shapes(document),
    }
    return render_to_string("gateway/docs.html", told).encode()


_page: Final = Once(_rendered)
