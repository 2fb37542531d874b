"""What the admin's first page tells of accounts."""

from django import template

from accounts.admin import OPEN_WARNING, is_open

register = template.Library()


@register.simple_tag
def open_warning() -> str:
    """Return a warning while callers need no key."""
    return OPEN_WARNING if is_open() else ""
