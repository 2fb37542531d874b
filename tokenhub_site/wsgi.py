"""The WSGI application that gunicorn and runserver serve."""

import os
from importlib import import_module

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub_site.settings")
django.setup(set_prefix=False)

from accounts import picture as accounts  # noqa: E402 - models exist only once Django is set up
from accounts.contents import contents  # noqa: E402
from accounts.leases import leases  # noqa: E402
from accounts.ledger import ledger  # noqa: E402
from accounts.repeats import repeats  # noqa: E402
from gateway import drain, exposition, meters, probing, tracing, webhook  # noqa: E402
from gateway.throttling import throttle  # noqa: E402
from gateway.watchdog import watchdog  # noqa: E402
from registry.board import board  # noqa: E402
from registry.snapshot import keeper  # noqa: E402
from tokenhub_site import metering  # noqa: E402
from tokenhub_site.handler import Handler  # noqa: E402

application = Handler()

keeper.start()
accounts.keeper.start()
ledger.poll.start()
leases.poll.start()
throttle.poll.start()
repeats.poll.start()
contents.poll.start()
drain.at_end(ledger.finish)
drain.at_end(contents.finish)
board.poll.start()
probing.poll.start()
webhook.poll.start()
meters.begin(metering.replaced())
if settings.TOKENHUB_TRACES:
    spans = import_module("gateway.spans").Spans()  # all of OpenTelemetry, which others need not pay for
    tracing.trace_with(spans)
    drain.at_end(spans.finish)
watchdog.start(exposition.refresh)
