"""What a call may cost at worst, and whether its key has that much left: reserved before anybody is asked."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from django.db import Error as DatabaseFault

from accounts.budgets import BudgetSpent
from accounts.models import MICRO
from accounts.prices import prices_of
from gateway import tokens
from gateway.errors import BudgetExceeded, InvalidRequest, Unavailable
from gateway.exchange import CHAT, COMPLETION, EMBEDDING, PLAIN, Call, Request
from gateway.router import DOUBT, Route
from gateway.wire import completions
from gateway.wire.fields import as_count
from registry.snapshot import ModelFacts

_MOST_TOLD: Final = 10
_UNKNOWN: Final = "nobody said what it costs, and the budget of this key has an end"


def bounded(request: Request, route: Route, most_tokens: int | None = None) -> tuple[Route, Mapping[int, int]]:
    """Return the route with a bound on every model's answer, and the micro-dollars that each may then cost at worst.

    The prompt counts at the dearest price that it may have, and with the doubt that there is about its size.
    """
    rooms: dict[int, int] = {}
    most: dict[int, int] = {}
    prompts, answers = _asked(request)
    for model in route.models:
        room = 0
        if request.format != EMBEDDING:
            rooms[model.pk] = room = _room(request, route, model, most_tokens)
        prices = prices_of(model)
        dearest = prices._replace(input=max(prices.input, prices.cache_read, prices.cache_write, prices.cache_write_1h))
        most[model.pk] = dearest.cost_micro(uncached=int(request.estimate * DOUBT) * prompts, output=room * answers)
    return replace(route, rooms=rooms), most


def _asked(request: Request) -> tuple[int, int]:
    """Return how many prompts one request has, and how many answers it asks of the model."""
    if request.format not in {CHAT, COMPLETION}:
        return 1, 1
    prompts = completions.number_of_prompts(request.fields) if request.format == COMPLETION else 1
    each = max(1, *(as_count(request.fields.get(name)) for name in ("n", "best_of")))
    return prompts, prompts * each


def _room(request: Request, route: Route, model: ModelFacts, most_tokens: int | None) -> int:
    usual = tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)
    room = route.rooms.get(model.pk, usual)
    return room if most_tokens is None else min(room, most_tokens)


def paid(request: Request, route: Route, call: Call) -> Route:
    """Return the part of a route that the caller's key pays for, which is reserved in its budgets.

    Raises `BudgetExceeded`, and `InvalidRequest` for more tokens than the key may ask for. Models that may cost more
    than is left are left out, so that a spent budget still has the free ones. For a key without bounds nothing is
    reckoned.
    """
    means = call.means
    if means is None:
        return route
    if request.format != PLAIN and means.max_tokens and (request.max_tokens or 0) > means.max_tokens:
        raise InvalidRequest(f"This key may ask for {means.max_tokens} tokens of output at most.", param="max_tokens")
    way, most = bounded(request, route, means.max_tokens)
    if means.counts_money:
        unknown = {model.id: _UNKNOWN for model in way.models if not model.has_price}
        way = _without(way, unknown, call=call)
    if request.policy.hedge_ms is not None:  # two may be asked at the same time
        most = {model: 2 * cost for model, cost in most.items()}
    if means.max_cost_micro is not None:
        told = f"this key may spend {means.max_cost_micro / MICRO:.6f} USD on a request"
        way = _affordable(way, most, means.max_cost_micro - call.cost_micro, told, call=call)  # of all phases together
    return way if means.reserve is None else _reserved(way, most, means.reserve, call=call)


def _reserved(route: Route, most: Mapping[int, int], reserve: Callable[[int], None], *, call: Call) -> Route:
    while True:
        try:
            if dearest := max(most[model.pk] for model in route.models):
                reserve(dearest)
            return route
        except BudgetSpent as spent:
            left = max(0, spent.left_micro)
            told = f"the {spent.budget.period} budget of {spent.budget.owner} has {left / MICRO:.6f} USD left"
            route = _affordable(route, most, left, told, call=call)
        except DatabaseFault as error:
            raise Unavailable("The budget of this key cannot be read now.", retry_after=1) from error


def _affordable(route: Route, most: Mapping[int, int], left: int, told: str, *, call: Call) -> Route:
    """Return the models that cost no more than what is left; the others are told of in the decision."""
    dear = {model.id: most[model.pk] for model in route.models if most[model.pk] > left}
    reasons = {name: f"may cost {cost / MICRO:.6f} USD: {told}" for name, cost in dear.items()}
    return _without(route, reasons, call=call)


def _without(route: Route, reasons: Mapping[str, str], *, call: Call) -> Route:
    """Return a route without the models that are left out for a reason, which the decision tells."""
    call.leave_out(reasons)
    if len(reasons) == len(route.models):
        told = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:_MOST_TOLD])
        raise BudgetExceeded(f"This key cannot pay for this request ({told}).")
    return replace(route, models=[model for model in route.models if model.id not in reasons])
