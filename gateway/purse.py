"""What a call may cost at worst, and whether its key has that much left: reserved before anybody is asked."""

from collections.abc import Mapping
from dataclasses import replace

from django.db import Error as DatabaseFault

from accounts.budgets import BudgetSpent
from accounts.models import MICRO
from accounts.prices import prices_of
from gateway import tokens
from gateway.errors import BudgetExceeded, Unavailable
from gateway.exchange import EMBEDDING, Call, Excluded, Request
from gateway.router import DOUBT, Route
from registry.snapshot import ModelFacts


def bounded(request: Request, route: Route) -> tuple[Route, Mapping[int, int]]:
    """Return the route with a bound on every model's answer, and the micro-dollars that each may then cost at worst.

    The prompt counts at the dearest price that it may have, and with the doubt that there is about its size.
    """
    rooms = {} if request.format == EMBEDDING else {model.pk: _room(request, route, model) for model in route.models}
    most: dict[int, int] = {}
    for model in route.models:
        prices = prices_of(model)
        dearest = prices._replace(input=max(prices.input, prices.cache_read, prices.cache_write))
        prompt = int(request.estimate * DOUBT)
        most[model.pk] = dearest.cost_micro(uncached=prompt, cache_read=0, cache_write=0, output=rooms.get(model.pk, 0))
    return replace(route, rooms=rooms), most


def _room(request: Request, route: Route, model: ModelFacts) -> int:
    usual = tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)
    return route.rooms.get(model.pk, usual)


def paid(request: Request, route: Route, call: Call) -> Route:
    """Return the part of a route that the caller's budgets pay for, which is reserved; raises `BudgetExceeded`.

    Models that cost more than is left are left out, so that a spent budget still has the free ones. Without a budget
    nothing is reckoned.
    """
    if call.reserve is None:
        return route
    way, most = bounded(request, route)
    if request.policy.hedge_ms is not None:  # two may be asked at the same time
        most = {model: 2 * cost for model, cost in most.items()}
    while True:
        try:
            if dearest := max(most[model.pk] for model in way.models):
                call.reserve(dearest)
            return way
        except BudgetSpent as spent:
            way = _affordable(way, most, spent, call=call)
        except DatabaseFault as error:
            raise Unavailable("The budget of this key cannot be read now.", retry_after=1) from error


def _affordable(route: Route, most: Mapping[int, int], spent: BudgetSpent, *, call: Call) -> Route:
    left = max(0, spent.left_micro)
    dear = {model.id: most[model.pk] for model in route.models if most[model.pk] > left}
    told = f"the {spent.budget.period} budget of {spent.budget.owner} has {left / MICRO:.6f} USD left"
    if call.decisions:
        made = call.decisions[-1]
        excluded = [Excluded(name, f"may cost {cost / MICRO:.6f} USD: {told}") for name, cost in dear.items()]
        ranked = [each for each in made.ranked if each.model not in dear]
        call.decisions[-1] = replace(made, ranked=ranked, excluded=[*made.excluded, *excluded])
    if len(dear) == len(route.models):
        raise BudgetExceeded(f"This request may cost {min(dear.values()) / MICRO:.6f} USD, and {told}.")
    return replace(route, models=[model for model in route.models if model.id not in dear])
