"""The WSGI application that gunicorn and runserver serve."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenhub_site.settings")
application = get_wsgi_application()

from accounts import picture as accounts  # noqa: E402 - models exist only once Django is set up
from accounts.contents import contents  # noqa: E402
from accounts.leases import leases  # noqa: E402
from accounts.ledger import ledger  # noqa: E402
from accounts.repeats import repeats  # noqa: E402
from gateway import drain, probing, webhook  # noqa: E402
from gateway.throttling import throttle  # noqa: E402
from registry.board import board  # noqa: E402
from registry.snapshot import keeper  # noqa: E402

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
