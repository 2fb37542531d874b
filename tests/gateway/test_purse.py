"""What a request may cost bounds all of its phases together."""

from collections.abc import Generator
from typing import Any

import pytest

from accounts.budgets import BudgetSpent
from accounts.facts import BudgetFacts
from gateway import attempt, escalation
from gateway.adapters.transport import Transport
from gateway.errors import Broken, BudgetExceeded
from gateway.exchange import Attempt, Call, Decision, Delta, Means
from gateway.patience import Patience
from gateway.purse import paid
from gateway.router import Route
from tests.facts import model_facts
from tests.gateway.test_router import request

WORST = 30_000  # micro-dollars: 1,000 tokens of output at 0.03 USD for 1,000, and a prompt that costs nothing


def test_it_works() -> None:
    model = model_facts(input_per_1k=0.0, output_per_1k=0.03)
    call = Call("req_1", "POST /v1/adversarial", 0.0, means=Means(max_cost_micro=WORST + 10))
    route = Route([model], Decision(10, 1, (), ()))
    assert paid(request(max_tokens=1_000), route, call).models == [model]
    call.attempts.append(Attempt("m", "echo", cost_micro=10))
    assert paid(request(max_tokens=1_000), route, call).models == [model]
    call.attempts.append(Attempt("m", "echo", cost_micro=1))
    with pytest.raises(BudgetExceeded, match=r"may cost 0\.030000 USD"):
        paid(request(max_tokens=1_000), route, call)


def break_off(*_: Any, record: Attempt, **__: Any) -> Generator[Delta]:
    """Fail after words that cost something."""
    record.cost_micro = 7
    yield from ()
    raise Broken("it broke off", upstream_status=500)


def walked(call: Call) -> list[Delta]:
    """What a hidden phase brings of two models, both of which break off after words."""
    models = [model_facts(id=name, input_per_1k=0.0, output_per_1k=0.03) for name in ("a", "b")]
    route = Route(models, Decision(10, 1, (), ()))
    asked = request(max_tokens=1_000)
    return list(escalation.answer(asked, route, Patience(5), transport=Transport(), call=call, is_hidden=True))


def test_what_comes_after_a_failure_that_cost_something_is_reserved_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "run", break_off)
    reserved: list[int] = []
    call = Call("req_1", "POST /v1/adversarial", 0.0, means=Means(reserve=reserved.append))
    with pytest.raises(Broken):
        walked(call)
    assert reserved == [WORST] * len(call.attempts)
    assert len(call.attempts) > 1


def test_nobody_is_asked_whom_the_budget_does_not_pay_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def reserve(amount_micro: int) -> None:
        if call.attempts:
            raise BudgetSpent(BudgetFacts(1, "key 'app'", "daily", 50_000), 20_000)

    monkeypatch.setattr(attempt, "run", break_off)
    call = Call("req_1", "POST /v1/adversarial", 0.0, means=Means(reserve=reserve))
    with pytest.raises(BudgetExceeded, match="b: may cost"):
        walked(call)
    assert [each.model for each in call.attempts] == ["a"]
