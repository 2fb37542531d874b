"""Keeps people's pages away from the hub that serves the API."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from registry import threads


class PeopleInThreads:
    """Runs everything under `/admin/` in a real thread.

    Pages hash passwords, write to the database and render for many milliseconds; under gevent each of these would hold
    up every stream of the worker.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, here or in a thread."""
        if not request.path.startswith("/admin/"):
            return self._get_response(request)
        request.body  # noqa: B018 - reads it: a socket belongs to the thread that accepted it
        return threads.run(self._get_response, request)
