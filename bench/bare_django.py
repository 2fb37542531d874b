"""What any gateway in Django must pay: a view under gunicorn's gevent worker that reads JSON and asks the provider.

No key, no routing, no log, no books, no reading of what comes back.
"""

from __future__ import annotations

import os
import secrets
from typing import Final
from urllib.parse import urlsplit

import orjson
import urllib3
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path

_PROVIDER: Final = urlsplit(os.environ["BENCH_PROVIDER"])
_POOL: Final = urllib3.HTTPConnectionPool(_PROVIDER.hostname or "", _PROVIDER.port, maxsize=1000)
_HEADERS: Final = {"Content-Type": "application/json"}


def chat(request: HttpRequest) -> HttpResponseBase:
    """Relay a chat."""
    asked = orjson.loads(request.body)
    streamed = asked.get("stream", False)
    answer = _POOL.urlopen(
        "POST", request.path, body=orjson.dumps(asked), headers=_HEADERS, preload_content=not streamed
    )
    if streamed:
        return StreamingHttpResponse(answer.stream(), content_type="text/event-stream", status=answer.status)
    headers = {"Content-Length": str(len(answer.data))}
    return HttpResponse(answer.data, content_type="application/json", status=answer.status, headers=headers)


def ready(request: HttpRequest) -> HttpResponse:
    """Say that requests may come."""
    return HttpResponse(b"ready")


def _application() -> WSGIHandler:
    settings.configure(
        SECRET_KEY=secrets.token_urlsafe(50),
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    )
    return get_wsgi_application()


urlpatterns = [path("v1/chat/completions", chat), path("ready", ready)]
application: Final = _application()
