"""Several models answer, and one judges which answer is the best."""

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any, Final

import orjson

from gateway.errors import PhaseFailed
from gateway.flows import prompts
from gateway.flows.base import Flow, name_of_model, whole_number
from gateway.flows.phases import Completed, Event, Preference, Question, Said, Stage, Wish

_VOTERS: Final = 3
_MOST_VOTERS: Final = 8
_VERDICT_TOKENS: Final = 64
_ANSWER, _JUDGE = "answer", "judge"


class Vote(Flow):
    """As many answers as `voters` says, from different models as far as there are; the judge's choice is the answer."""

    name = "vote"
    options = ("voters", "judge")

    def check(self, wish: Wish) -> None:
        """Raise `InvalidRequest` for an option that is none."""
        whole_number(wish, "voters", _VOTERS, _MOST_VOTERS)
        name_of_model(wish, "judge")

    def run(self, stage: Stage) -> Generator[Event, None, Completed]:
        """Yield what happens in the phases and return the chosen answer."""
        wish = stage.wish
        judge = name_of_model(wish, "judge")
        stage.foresee(judge, "judge")
        answers: list[Completed] = []
        for number in range(1, whole_number(wish, "voters", _VOTERS, _MOST_VOTERS) + 1):
            spoken = Counter(each.model for each in answers)
            answer = yield from stage.ask(_ANSWER, Question(wish.messages, prefer=_seldom(spoken)), round=number)
            answers.append(answer)
        texts = {f"answer_{number}": each.text for number, each in enumerate(answers, 1)}
        asked = prompts.messages(prompts.JUDGE, task=wish.task, **texts)
        wanted = Question(asked, model=judge, named_by="judge", least_tokens=_VERDICT_TOKENS)
        verdict = yield from stage.ask(_JUDGE, wanted)
        chosen = answers[_choice(verdict.text, len(answers)) - 1]
        yield Said(_JUDGE, 1, chosen.text, final=True)
        return chosen

    def body(self, wish: Wish, completed: Sequence[Completed]) -> dict[str, Any]:
        """Return all answers and the judge's words."""
        return {
            "original_prompt": wish.prompt,
            "answers": [{"text": each.text, "model": each.model} for each in completed if each.phase == _ANSWER],
            "verdict": next((each.text for each in completed if each.phase == _JUDGE), None),
        }


def _seldom(spoken: Counter[str]) -> Preference:
    """Prefer the models that have spoken least."""
    return lambda model: spoken[model.id]


def _choice(text: str, most: int) -> int:
    """Return the number that a judge chose; raises `PhaseFailed` for anything but `{"choice": n}` with one of them."""
    try:
        told = orjson.loads(text.strip())
    except orjson.JSONDecodeError:
        told = None
    choice = told.get("choice") if isinstance(told, dict) and len(told) == 1 else None
    if not isinstance(choice, int) or isinstance(choice, bool) or not 1 <= choice <= most:
        failed = PhaseFailed(f"The judge did not choose one of the {most} answers.")
        failed.cause = "no_choice"
        raise failed
    return choice
