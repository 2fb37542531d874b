"""What a browser sends for the page of another site: its user did not ask for it, and may pay for it."""

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.utils.http import is_same_domain


def is_from_another_site(request: HttpRequest) -> bool:
    """Whether a page of another site, which `CSRF_TRUSTED_ORIGINS` does not name, had the browser send a request.

    Browsers say so in `Sec-Fetch-Site`, but only to HTTPS and to localhost; to others they tell the `Origin`, unless it
    is a plain link that is followed. Programs send neither.
    """
    origin, site = request.META.get("HTTP_ORIGIN"), request.META.get("HTTP_SEC_FETCH_SITE")
    if origin is None and site is None:
        return False
    if _own_host(request) is None:  # a name that was made to lead here: the browser takes it for the page's own
        return True
    if site is None:
        is_foreign = origin is not None and origin.partition("://")[2] != _own_host(request)
    else:
        is_foreign = site == "cross-site"
    return is_foreign and not (origin and _is_trusted(origin))


def _own_host(request: HttpRequest) -> str | None:
    """Return the host under which the gateway was asked, as far as Django's settings believe it."""
    try:
        return request.get_host()
    except DisallowedHost:
        return None


def _is_trusted(origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    pairs = (trusted.partition("://") for trusted in settings.CSRF_TRUSTED_ORIGINS)
    return any(scheme == known and is_same_domain(host, pattern.lstrip("*")) for known, _, pattern in pairs)
