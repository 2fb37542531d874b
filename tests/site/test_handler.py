"""Programs pass Django's handler by, and what it would have told them they are told in their own format."""

from typing import Any

import orjson
import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from tokenhub_site.handler import Handler

pytestmark = pytest.mark.django_db  # whose connections are looked at when a page is over


def ask(path: str, host: str) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers and the body of an answer to somebody who asks without TLS."""
    told: list[Any] = []
    environ = RequestFactory().get(path, HTTP_HOST=host).environ
    answer = Handler()(environ, lambda status, headers: told.extend((status, dict(headers))))
    body = b"".join(answer)
    answer.close()
    return told[0], told[1], body


@pytest.fixture(autouse=True)
def _behind_tls(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^health"]
    settings.ALLOWED_HOSTS = ["hub.example.com"]


def test_it_works() -> None:
    status, _, body = ask("/health", "10.0.0.1")  # a probe comes under any name
    assert (status, orjson.loads(body)) == ("200 OK", {"status": "healthy"})
    status, headers, _ = ask("/v1/models", "hub.example.com")
    assert (status.split()[0], headers["Location"]) == ("301", "https://hub.example.com/v1/models")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages"])
def test_another_host_is_refused_as_callers_read_it(path: str) -> None:
    status, headers, body = ask(path, "evil.example.com")
    assert status == "400 Bad Request"
    assert orjson.loads(body)["error"]["type"] == "invalid_request_error"
    assert headers["x-request-id"].startswith("req_")
    assert headers["Content-Length"] == str(len(body))
