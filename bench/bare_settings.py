"""The project's settings, with accounts off."""

from tokenhub_site.settings import *  # noqa: F403
from tokenhub_site.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "bench.apps.Bare"]
