"""Django's WSGI handler, past which programs go to their view: all that it does around a request is for people."""

from typing import Any, cast

import orjson
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

from gateway.errors import Malformed
from gateway.views.answers import StreamedAnswer
from gateway.wire.formats import error_body
from tokenhub_site import refusals
from tokenhub_site.middleware import answered, is_for_programs


class Handler(WSGIHandler):
    """Answers programs without signals and middleware; no view of theirs touches the database on the hub."""

    def __init__(self) -> None:
        super().__init__()
        self._secured = SecurityMiddleware(answered)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request of a program or a person."""
        request = self.request_class(environ)
        if not is_for_programs(request):
            return super().__call__(environ, start_response)
        try:
            answer = cast("HttpResponseBase", self._secured(request))
        except SuspiciousOperation:  # a Host that is not this gateway's, where one is asked for
            answer = _refused(request)
        start_response(f"{answer.status_code} {answer.reason_phrase}", list(answer.items()))
        return answer.events if isinstance(answer, StreamedAnswer) else answer


def _refused(request: HttpRequest) -> HttpResponse:
    request_id = refusals.new_id()
    told = Malformed("The Host header does not name this gateway.", status=400)
    body = orjson.dumps(error_body(told, request.path, request_id))
    headers = dict.fromkeys(refusals.ID_HEADERS, request_id) | {"Content-Length": str(len(body))}
    return HttpResponse(body, status=400, content_type="application/json", headers=headers)
