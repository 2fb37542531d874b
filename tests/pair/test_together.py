"""Two gateways are one: what one of them learns, counts, spends or is told, the other keeps to."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.accounts.load import CHAT, Answered, ask, steadily
from tests.accounts.test_budgets_at_once import WORST
from tests.databases import rows
from tests.pair.hubs import Admin, Pair, config, started
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream, error
from tests.scripted_script import Answer, Received, Script
from tests.server import wait_for

MOST_SECONDS = 6.0  # the goal is one; a busy machine needs more


@pytest.fixture(scope="module")
def pair(
    provider: ScriptedProvider, other: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two gateways of one worker each."""
    with started(config(provider, other), tmp_path_factory.mktemp("pair")) as running:
        yield running


def test_it_works(pair: Pair) -> None:
    """They started at the same time on an empty database, and one of them made everything once."""
    assert [line for hub in pair.hubs for line in hub.log.splitlines() if '"level":"error"' in line] == []
    assert sum(hub.log.count("Admin account") for hub in pair.hubs) == 1
    assert sorted(rows(pair.hubs[0], "SELECT public_id FROM registry_model")) == [("best",), ("m",)]
    token = pair.key(name="first")
    assert {each.status for each in pair.ask_all(token, 4)} == {200}


def test_a_rate_limit_that_one_was_told_is_kept_by_the_other(pair: Pair, provider: ScriptedProvider) -> None:
    token = pair.key(name="cooling")
    provider.default = error(429, "slow down", headers={"Retry-After": "7"})
    first = ask(pair.hubs[0], token, model="auto")
    assert served(first) == "m"
    time.sleep(1.0)
    provider.start_afresh()
    answers = [each for each in pair.ask_all(token, 40, model="auto") if each.ended < first.began + 7]
    assert len(answers) > 4  # all of them, but on a machine that is busy
    assert {served(each) for each in answers} == {"m"}
    assert [each for each in provider.requests if each.at < first.began + 7] == []


def test_a_minute_has_no_more_requests_than_the_limit(pair: Pair) -> None:
    token = pair.key("--rpm", "60", name="limited")
    answers = pair.ask_all(token, 200)
    statuses = [each.status for each in answers]
    assert (statuses.count(200), statuses.count(429)) == (60, 140)
    left = [int(each.told.headers["x-ratelimit-remaining-requests"]) for each in answers if each.status == 200]
    assert sorted(left) == list(range(60))


def test_a_budget_for_ten_admits_ten(pair: Pair, other: ScriptedProvider) -> None:
    all_asked = threading.Event()

    def held(received: Received) -> Answer:
        all_asked.wait(60)
        return chat_stream([" x"])(received)

    other.default = Script(held)
    token = pair.key("--budget-usd", f"{10 * WORST / 1e6:.6f}", "--budget-period", "total", name="budgeted")

    def one(number: int) -> int:
        return ask(pair.hubs[number % 2], token, stream=True, fallback=False).status

    with ThreadPoolExecutor(100) as askers:
        asking = [askers.submit(one, number) for number in range(100)]
        wait_for(lambda: sum(each.done() for each in asking) == 90, 45)
        all_asked.set()
        statuses = [each.result() for each in asking]
    assert (statuses.count(200), statuses.count(402), len(other.requests)) == (10, 90, 10)
    assert wait_for(lambda: rows(pair.hubs[0], "SELECT count(*) FROM accounts_reservation") == [(0,)], 20)
    ((spent, reserved),) = rows(pair.hubs[0], "SELECT spent_micro, reserved_micro FROM accounts_budgetuse")
    calls = "SELECT sum(cost_micro) FROM accounts_call WHERE key_id = (SELECT key_id FROM accounts_budget)"
    ((booked,),) = rows(pair.hubs[0], calls)
    assert (spent, reserved) == (booked, 0)
    assert 0 < spent <= 10 * WORST


def test_one_idempotency_key_asks_once(pair: Pair, other: ScriptedProvider) -> None:
    token = pair.key(name="again")
    other.default = chat("only once")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "of both"}

    def one(number: int) -> requests.Response:
        url = f"{pair.hubs[number % 2].url}/v1/chat/completions"
        return requests.post(url, json=CHAT, headers=headers, timeout=60)

    with ThreadPoolExecutor(20) as askers:
        answers = list(askers.map(one, range(20)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["id"] for each in answers}) == 1
    assert len(other.requests) == 1


def test_what_is_saved_in_one_admin_is_obeyed_by_both(pair: Pair) -> None:
    token = pair.key("--rpm", "1000000", name="edited")
    admin = Admin(pair)
    here, there = (f"{hub.url}/admin" for hub in pair.hubs)
    ((key,),) = rows(pair.hubs[0], "SELECT id FROM accounts_apikey WHERE name = 'edited'")
    ((model,),) = rows(pair.hubs[0], "SELECT id FROM registry_model WHERE public_id = 'm'")
    with (
        steadily(lambda: ask(pair.hubs[0], token), a_second=15) as first,
        steadily(lambda: ask(pair.hubs[1], token), a_second=15) as second,
    ):
        assert wait_for(lambda: min(len(first), len(second)) > 5, 20)
        both = (first, second)
        page = f"{here}/registry/model/{model}/change/"
        old = cost(first[0])
        obeyed(both, lambda: admin.save(page, output_per_1k="3"), lambda each: cost(each) > 50 * old)
        page = f"{here}/accounts/apikey/{key}/change/"
        obeyed(both, lambda: admin.save(page, rpm="2000000"), lambda each: limit(each) == 2_000_000)
        # the session of the one is good at the other
        obeyed(both, lambda: admin.save(f"{there}/accounts/apikey/{key}/change/", enabled=None), is_refused)
    chosen = pair.key(name="choosing")
    with (
        steadily(lambda: ask(pair.hubs[0], chosen, model="auto"), a_second=15) as first,
        steadily(lambda: ask(pair.hubs[1], chosen, model="auto"), a_second=15) as second,
    ):
        assert wait_for(lambda: min(len(first), len(second)) > 5, 20)
        both = (first, second)
        page = f"{there}/registry/model/{model}/change/"
        obeyed(both, lambda: admin.save(page, weight="99", cost_per_1k="0"), lambda each: served(each) == "m")
        obeyed(both, lambda: admin.save(page, enabled=None), lambda each: served(each) == "best")


def cost(answer: Answered) -> float:
    """What an answer cost, in US dollars."""
    return float(answer.told.headers["x-tokenhub-cost-usd"])


def limit(answer: Answered) -> int:
    """The requests a minute that an answer tells."""
    return int(answer.told.headers["x-ratelimit-limit-requests"])


def served(answer: Answered) -> str:
    """The model that answered."""
    return answer.told.headers["x-tokenhub-model"]


def is_refused(answer: Answered) -> bool:
    """Whether the key was not taken."""
    return answer.status == 401


def obeyed(both: tuple[list[Answered], ...], change: Callable[[], None], obeys: Callable[[Answered], bool]) -> None:
    """Change something, and hold that soon no gateway answers by the old rule any more to who asks from now on."""
    before = [len(answers) for answers in both]
    change()
    changed_at = time.monotonic()

    def told() -> list[list[Answered]]:
        return [
            [each for each in answers[start:] if each.began > changed_at]
            for answers, start in zip(both, before, strict=True)
        ]

    def latest() -> list[Answered]:
        return [each for answers in told() for each in sorted(answers, key=lambda one: one.began)[-10:]]

    assert wait_for(lambda: all(len(answers) > 15 for answers in told()) and all(map(obeys, latest())), 30)
    late = max((each.began - changed_at for answers in told() for each in answers if not obeys(each)), default=0.0)
    print(f"{late:.2f} s until the last that asked and was answered by the old rule")
    assert late < MOST_SECONDS
