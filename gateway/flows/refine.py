"""A model answers, and then improves its own answer: as often as is asked for."""

from collections.abc import Generator, Sequence
from typing import Any

from gateway.flows import prompts
from gateway.flows.base import MOST_ROUNDS, Flow, whole_number
from gateway.flows.phases import Completed, Event, Question, Stage, Wish


class Refine(Flow):
    """One model, which the router chooses; another takes over only where it fails."""

    name = "refine"
    options = ("rounds",)

    def run(self, stage: Stage) -> Generator[Event, None, Completed]:
        """Yield what happens in the phases and return the last answer."""
        wish = stage.wish
        rounds = whole_number(wish, "rounds", 1, MOST_ROUNDS)
        first = draft = yield from stage.ask("draft", Question(wish.messages))
        for number in range(1, rounds + 1):
            asked = prompts.messages(prompts.IMPROVE, task=wish.task, answer=draft.text)
            question = Question(asked, prefer=lambda model: model.id != first.model)
            draft = yield from stage.ask("improve", question, round=number, final=number == rounds)
        return draft

    def body(self, wish: Wish, completed: Sequence[Completed]) -> dict[str, Any]:
        """Return every draft, in their order."""
        return {
            "original_prompt": wish.prompt,
            "drafts": [{"text": each.text, "model": each.model} for each in completed],
        }
