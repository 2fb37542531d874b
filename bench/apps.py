"""The gateway with accounts off, to measure what they cost: nobody is asked for a key, and a call is only logged."""

from django.apps import AppConfig


class Bare(AppConfig):
    """Takes the account out of a request's way."""

    name = "bench"
    label = "bench_bare"

    def ready(self) -> None:
        """Replace what a request does for its account."""
        from gateway import accounting, journal  # noqa: PLC0415 - apps are being loaded
        from gateway.authentication import ClientKeys  # noqa: PLC0415

        accounting.ended = journal.log
        accounting.finishing = lambda call, *, is_last: None
        ClientKeys.authenticate = lambda self, request: None  # type: ignore[method-assign]
