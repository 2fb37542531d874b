"""`/metrics`: what Prometheus reads, with a token or at an address of its own."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from gateway import exposition


def is_own_address(request: HttpRequest) -> bool:
    """Whether a request came in at the address that is only for those who watch the gateway."""
    port, caller = settings.TOKENHUB_METRICS_PORT, request.META.get("gunicorn.socket")
    if not port or caller is None:
        return False
    ours = caller.getsockname()  # SERVER_PORT is the caller's to choose where gunicorn listens at a Unix socket
    return isinstance(ours, tuple) and ours[1] == port


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return what is counted; who may not read it does not learn that it is here."""
    if not (is_own_address(request) or _shows_token(request)):
        return HttpResponseNotFound()
    return HttpResponse(exposition.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _shows_token(request: HttpRequest) -> bool:
    token = settings.TOKENHUB_METRICS_TOKEN.reveal()
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(shown.encode(), token.encode())
