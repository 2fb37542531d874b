"""What the admin's pages tell of accounts."""

from django import template

from accounts import spending
from accounts.admin import OPEN_WARNING, is_open

register = template.Library()


@register.simple_tag
def open_warning() -> str:
    """Return a warning while callers need no key."""
    return OPEN_WARNING if is_open() else ""


@register.filter
def short_usd(micro: int) -> str:
    """Return micro-dollars as dollars."""
    return spending.short_usd(micro)
