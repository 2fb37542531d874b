"""The only network IO of the gateway: one request to a provider over a pooled `requests` session, with deadlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from http.client import HTTPException, IncompleteRead
from typing import Any, Final, Self

import requests
import urllib3
from django.conf import settings
from requests.adapters import BaseAdapter, HTTPAdapter

from gateway.adapters import dialing
from gateway.adapters.cooperative import Asking, CooperativeAdapter
from gateway.errors import Broken, CallerLeft, TimedOut, Unreachable
from gateway.patience import Patience, is_cooperative
from registry.addresses import endpoint, is_listed
from registry.snapshot import ProviderFacts

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_CONNECTIONS_KEPT: Final = 256
_SETTLE_SECONDS: Final = 0.5
_NO_LIMIT: Final = nullcontext()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request of `body` (bytes of JSON) to `url` with these headers beside those that every call has."""

    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "POST"


class Transport:
    """Sends requests to providers; keeps one session of pooled connections for each address and rule of a provider."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[tuple[str, int], bool], requests.Session] = {}
        self._by_address: dict[tuple[str, bool], requests.Session] = {}

    def send(self, outgoing: Outgoing, provider: ProviderFacts, patience: Patience) -> Reply:
        """Return the reply once its headers are here; raises `Unreachable` or `TimedOut`.

        Redirects are not followed: they are replies like any other.
        """
        post = _prepared(outgoing, provider)
        session = self._session(provider)
        # Where sockets do not give way, their own timeouts must serve for the exact ones of `patience`.
        timeouts = (provider.connect_timeout, None if patience.is_cooperative else provider.first_byte_timeout)
        environment: dict[str, Any] = {"timeout": timeouts, "stream": True, "verify": session.verify}
        if session.trust_env:
            environment |= session.merge_environment_settings(outgoing.url, {}, stream=True, verify=None, cert=None)
        late = partial(TimedOut, f"{provider.name} did not begin to answer in time.")
        try:
            with patience.limit(provider.first_byte_timeout, late), dialing.noting_when_sent(patience):
                # past `Session.send`, which reads the whole body of a redirect even where it is not to follow it
                response = session.get_adapter(outgoing.url).send(post, **environment)
        except requests.Timeout as error:
            raise TimedOut(f"{provider.name} did not answer in time: {_reason(error)}") from error
        except HTTPException as error:
            raise Unreachable(f"{provider.name} gave no answer that is one: {_reason(error)}") from error
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise Unreachable(f"{provider.name} cannot be reached: {_reason(error)}") from error
        return Reply(response, provider, patience)

    def close(self) -> None:
        """Close all connections that are kept."""
        for session in self._sessions.values():
            session.close()

    def _session(self, provider: ProviderFacts) -> requests.Session:
        key = (provider.base_url, provider.may_be_private)
        session = self._by_address.get(key)
        if session is None:
            session = self._by_address[key] = self._session_for(provider)
        return session

    def _session_for(self, provider: ProviderFacts) -> requests.Session:
        where = endpoint(provider.base_url)
        private_allowed = provider.may_be_private or is_listed(where, settings.TOKENHUB_PRIVATE_UPSTREAMS)
        session = self._sessions.get((where, private_allowed))
        if session is None:
            session = self._sessions[where, private_allowed] = _open_session(private_allowed=private_allowed)
        return session


class Reply:
    """A provider's reply: `status` and `headers` at once, the body as it arrives. Close it, or use it as a context."""

    def __init__(self, response: requests.Response, provider: ProviderFacts, patience: Patience) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._provider = provider
        self._patience = patience

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the body as they arrive; raises `TimedOut` after a long silence, `Broken` when cut off."""
        raw = self._response.raw
        silence = partial(TimedOut, f"{self._provider.name} fell silent in the middle of an answer.")
        while True:
            try:
                with self._has_arrived() or self._patience.limit(self._provider.idle_timeout, silence):
                    piece = raw.read1(_PIECE_BYTES, decode_content=True)
            except urllib3.exceptions.TimeoutError as error:
                raise silence() from error
            except (HTTPException, urllib3.exceptions.HTTPError, OSError) as error:
                raise Broken(f"{self._provider.name} broke off: {_reason(error)}") from error
            if not piece:
                return
            yield piece

    def whole(self, at_most: int = MAX_ANSWER_BYTES) -> bytes:
        """Return the whole body; raises `Broken` when it is larger than `at_most` bytes."""
        collected = bytearray()
        for piece in self.pieces():
            collected += piece
            if len(collected) > at_most:
                raise Broken(f"{self._provider.name} sent more than {at_most} bytes.")
        return bytes(collected)

    def settle(self) -> None:
        """Read the end of a body whose last event has come, so that its connection can serve again; gives up soon."""
        if self._patience.is_cooperative and not self._has_arrived():
            with (
                suppress(TimedOut, CallerLeft, HTTPException, urllib3.exceptions.HTTPError, OSError),
                self._patience.limit(_SETTLE_SECONDS, partial(TimedOut, "")),
            ):
                self._response.raw.drain_conn()

    def _has_arrived(self) -> AbstractContextManager[None] | None:
        """Return a context without a limit where the next piece is here already."""
        arrived = getattr(self._response.raw, "arrived", None)  # which urllib3 cannot say
        return _NO_LIMIT if arrived is not None and arrived() else None

    def close(self) -> None:
        """Give the connection back if the body was read to its end, and close it otherwise."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _DialingAdapter(HTTPAdapter):
    """Requests' own adapter over connections that judge the address before they call it."""

    def __init__(self, *, private_allowed: bool) -> None:
        self._pool_classes = dialing.PRIVATE_TOO if private_allowed else dialing.PUBLIC_ONLY
        super().__init__(pool_maxsize=_CONNECTIONS_KEPT, max_retries=0)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Tell the length of the body, which an `Asking` does not know."""
        request.headers = request.headers.copy()
        request.prepare_content_length(request.body)
        return super().send(request, *args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes


def _prepared(outgoing: Outgoing, provider: ProviderFacts) -> Asking:
    """Return the request to send; only an address that no URL can have is the provider's fault, all else is ours."""
    try:
        asking = _asking(outgoing.method, outgoing.url, (*provider.extra_headers, *outgoing.headers.items()))
    except requests.exceptions.InvalidURL as error:
        raise Unreachable(f"{provider.name} cannot be reached: {_reason(error)}") from error
    return asking.with_body(outgoing.body)


@lru_cache(maxsize=1024)
def _asking(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Asking:
    """Return what all requests to an endpoint of a provider have in common."""
    usual = {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": "tokenhub",
    }
    return Asking.of(requests.Request(method, url, headers={**usual, **dict(headers)}).prepare())


def _open_session(*, private_allowed: bool) -> requests.Session:
    session = requests.Session()
    session.trust_env = settings.TOKENHUB_USE_ENV_PROXIES
    session.verify = settings.TOKENHUB_CA_BUNDLE or True
    adapter = _adapter(private_allowed=private_allowed)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _adapter(*, private_allowed: bool) -> BaseAdapter:
    """Return the light adapter where sockets give way; proxies, and processes without gevent, are left to urllib3."""
    if is_cooperative() and not settings.TOKENHUB_USE_ENV_PROXIES:
        return CooperativeAdapter(private_allowed=private_allowed, certificates=settings.TOKENHUB_CA_BUNDLE)
    return _DialingAdapter(private_allowed=private_allowed)


def _reason(error: BaseException | None) -> str:
    """Return what is at the bottom of a failed call: the layers around it say nothing that a person could use."""
    bottom = ""
    while isinstance(error, Exception):
        if isinstance(error, dialing.NotReached):
            return str(error)
        if isinstance(error, IncompleteRead):
            return "the connection ended in the middle of the answer"
        said = error.args[0] if isinstance(error, HTTPException) and error.args else error
        bottom = str(said) or type(error).__name__
        context = None if error.__suppress_context__ else error.__context__
        error = getattr(error, "reason", None) or error.__cause__ or context or next(iter(error.args), None)
    return bottom


transport = Transport()
