"""Two doors: programs go straight to their view, people's pages are kept away from the hub that serves programs."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve

from gateway.errors import BodyTimeout
from gateway.parsers import hang_up_after_answer
from gateway.patience import Patience
from gateway.views.metrics import is_own_address
from gateway.views.missing import Missing
from registry import threads

_PROGRAMS: Final = ("/v1", "/health", "/metrics")
_WATCHERS: Final = ("/health", "/metrics")
_PEOPLE: Final = ("/admin", settings.STATIC_URL)
_missing = Missing.as_view()


class Doors:
    """Stands before everything that only people need: sessions, CSRF, messages, hosts, history.

    Their pages run in a real thread. They hash passwords, write to the database and render for many milliseconds; under
    gevent each of these would hold up every stream of the worker. Programs authenticate in every request, and probes
    come under any host name.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a program here, a person in a thread."""
        if is_for_programs(request):
            return answered(request)
        try:
            with Patience(settings.TOKENHUB_BODY_SECONDS).limit(
                settings.TOKENHUB_BODY_SECONDS, partial(BodyTimeout, "")
            ):
                request.body  # noqa: B018 - reads it: a socket belongs to the thread that accepted it
        except BodyTimeout:
            hang_up_after_answer(request)
            return HttpResponse("The form did not arrive in time.", status=408, content_type="text/plain")
        return threads.run(self._get_response, request)


def is_for_programs(request: HttpRequest) -> bool:
    """Whether a program asks: at its own paths, or at one that is nobody's without the wish for a page."""
    path = request.path_info
    if path.startswith(_PROGRAMS):
        return True
    is_peoples = path == "/" or path.startswith(_PEOPLE) or "text/html" in request.headers.get("Accept", "")
    return not is_peoples or is_own_address(request)


def answered(request: HttpRequest) -> HttpResponseBase:
    """Return the answer to a program, from the view of its path or else a refusal."""
    if is_own_address(request) and not request.path_info.startswith(_WATCHERS):
        return _missing(request)
    match = _view_of(request.path_info)
    answer: HttpResponseBase = match.func(request, *match.args, **match.kwargs) if match else _missing(request)
    if isinstance(answer, HttpResponse):
        answer.setdefault("Content-Length", str(len(answer.content)))
    return answer


@lru_cache(maxsize=1024)
def _view_of(path: str) -> ResolverMatch | None:
    try:
        return resolve(path)
    except Resolver404:
        return None
