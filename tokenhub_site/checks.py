"""The site's system checks: a variable that cannot be used is told by its name before anything is changed."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from tokenhub_site import variables


@register()
def check_variables(**_: Any) -> list[CheckMessage]:
    """Refuse numbers, switches and words that a variable may not have; its default stands in until then."""
    return [Error(fault.problem, hint=fault.hint, id=fault.id) for fault in variables.faults()]
