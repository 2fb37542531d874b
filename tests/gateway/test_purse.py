"""What a request may cost bounds all of its phases together."""

import pytest

from gateway.errors import BudgetExceeded
from gateway.exchange import Attempt, Call, Decision, Means
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
