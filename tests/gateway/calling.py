"""Calls providers as a worker does, under gevent: reads a line of JSON for each call, and writes a line of what came.

A call has `url`, `private` (whether such addresses may be called), `size` of a text in its body, `bundle`, a file of
certificates to be trusted, and `seconds` that it may take. What came is `status`, `headers`, `body`, and `failure` with
its text; `open` sockets and `held` requests are what is there afterwards, without the collector's help.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402 - patching comes first
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402

django.setup()

from django.test import override_settings  # noqa: E402

from gateway.adapters.cooperative import Asking  # noqa: E402
from gateway.adapters.transport import Outgoing, Transport  # noqa: E402
from gateway.errors import GatewayError  # noqa: E402
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
            Patience(call["seconds"]) as patience,
            transport.send(outgoing, provider, patience) as reply,
        ):
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return {"status": reply.status, "headers": headers, "body": reply.whole(1_000_000).decode()}
    except GatewayError as failure:
        return {"failure": type(failure).__name__, "text": failure.message}


def left() -> dict[str, int]:
    """Return what calls have left behind."""
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    held = sum(isinstance(each, Asking) and bool(each.body) for each in gc.get_objects())
    return {"open": sum(link.startswith("socket:") for link in links), "held": held}


if __name__ == "__main__":
    gc.collect()
    gc.disable()
    for line in sys.stdin:
        print(json.dumps({**outcome(json.loads(line)), **left()}), flush=True)
