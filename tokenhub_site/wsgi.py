"""The WSGI application that gunicorn and runserver serve."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub_site.settings")
django.setup(set_prefix=False)

from accounts import picture as accounts  # noqa: E402 - models exist only once Django is set up
from accounts.contents import contents  # noqa: E402
from accounts.leases import leases  # noqa: E402
from accounts.ledger import ledger  # noqa: E402
from accounts.repeats import repeats  # noqa: E402
from gateway import drain, probing, webhook  # noqa: E402
from gateway.throttling import throttle  # noqa: E402
from registry.board import board  # noqa: E402
from registry.snapshot import keeper  # noqa: E402
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
