"""Django's WSGI handler, past which programs go to their view: all that it does around a request is for people."""

from typing import Any, cast

from django.core.handlers.wsgi import WSGIHandler
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

from gateway.views.answers import StreamedAnswer
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
        answer = cast("HttpResponseBase", self._secured(request))
        start_response(f"{answer.status_code} {answer.reason_phrase}", list(answer.items()))
        return answer.events if isinstance(answer, StreamedAnswer) else answer
