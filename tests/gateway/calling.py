"""Calls providers as a worker does, under gevent: reads a line of JSON for each call, and writes a line of what came.

A call has `url`, `private` (whether such addresses may be called), `size` of a text in its body, and `bundle`, a file
of certificates to be trusted. What came is `status`, `headers`, `body`, and `failure` with its text.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - patching comes first
import os  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402

django.setup()

from django.test import override_settings  # noqa: E402

from gateway.adapters.transport import Outgoing, Transport  # noqa: E402
from gateway.errors import ProviderFailure  # noqa: E402
from gateway.patience import Patience  # noqa: E402
from tests.facts import provider_facts  # noqa: E402

transports: dict[str, Transport] = {}


def outcome(call: dict[str, Any]) -> dict[str, Any]:
    """Return what came of a call."""
    provider = provider_facts(base_url=call["url"], may_be_private=call["private"])
    transport = transports.setdefault(call["bundle"], Transport())
    outgoing = Outgoing(call["url"], {}, b'{"x":"%b"}' % (b"x" * call["size"]))
    try:
        with (
            override_settings(TOKENHUB_CA_BUNDLE=call["bundle"]),
            Patience(5) as patience,
            transport.send(outgoing, provider, patience) as reply,
        ):
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return {"status": reply.status, "headers": headers, "body": reply.whole(1_000_000).decode()}
    except ProviderFailure as failure:
        return {"failure": type(failure).__name__, "text": failure.message}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(outcome(json.loads(line))), flush=True)
