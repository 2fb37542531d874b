"""One model plans, another criticises, the first refines: as often as is asked for."""

from collections.abc import Generator, Sequence
from typing import Any

from gateway.flows import prompts
from gateway.flows.base import MOST_ROUNDS, Flow, name_of_model, whole_number
from gateway.flows.phases import Completed, Event, Preference, Question, Stage, Wish, as_ranked

PLAN, CRITIQUE, REFINE = "plan", "critique", "refine"


class Adversarial(Flow):
    """The planner is the router's best; the critic the best of another provider, else another model, else the same."""

    name = "adversarial"
    options = ("planner", "critic", "rounds")

    def check(self, wish: Wish) -> None:
        """Raise `InvalidRequest` for an option that is none."""
        super().check(wish)
        for name in ("planner", "critic"):
            name_of_model(wish, name)

    def run(self, stage: Stage) -> Generator[Event, None, Completed]:
        """Yield what happens in the phases and return the last refined plan."""
        wish = stage.wish
        rounds = whole_number(wish, "rounds", 1, MOST_ROUNDS)
        planner, critic = name_of_model(wish, "planner"), name_of_model(wish, "critic")
        stage.foresee(critic, "critic")
        told = [{"role": "system", "content": prompts.PLAN}, *wish.messages]
        planned = draft = yield from stage.ask(PLAN, Question(told, model=planner, named_by="planner"))
        chosen = as_ranked if critic else _others_than(planned)
        for number in range(1, rounds + 1):
            asked = prompts.messages(prompts.CRITIQUE, task=wish.task, answer=draft.text)
            wanted = Question(asked, model=critic, named_by="critic", prefer=chosen)
            critique = yield from stage.ask(CRITIQUE, wanted, round=number)
            asked = prompts.messages(prompts.REFINE, task=wish.task, answer=draft.text, critique=critique.text)
            wanted = Question(asked, model=planner, named_by="planner", prefer=lambda model: model.id != planned.model)
            draft = yield from stage.ask(REFINE, wanted, round=number, final=number == rounds)
        return draft

    def body(self, wish: Wish, completed: Sequence[Completed]) -> dict[str, Any]:
        """Return the plan, the last critique and refined plan, and all of every round."""
        by_phase = {each.phase: each for each in completed}
        planner, critic = by_phase.get(PLAN), by_phase.get(CRITIQUE)
        return {
            "original_prompt": wish.prompt,
            "initial_plan": _text(planner),
            "critique": _text(critic),
            "refined_plan": _text(by_phase.get(REFINE)),
            "models": {"planner": planner and planner.model, "critic": critic and critic.model},
            "rounds": _rounds(completed),
            "degraded": any(planner and each.phase == CRITIQUE and each.model == planner.model for each in completed),
        }


def _others_than(planned: Completed) -> Preference:
    """Prefer the models of another provider, and then all but the one that planned."""
    return lambda model: (model.provider.name == planned.provider, model.id == planned.model)


def _rounds(completed: Sequence[Completed]) -> list[dict[str, Any]]:
    rounds: dict[int, dict[str, Any]] = {}
    for each in completed:
        if each.phase != PLAN:
            told = rounds.setdefault(each.round, {"round": each.round, CRITIQUE: None, "refined_plan": None})
            told[CRITIQUE if each.phase == CRITIQUE else "refined_plan"] = each.text
    return list(rounds.values())


def _text(made: Completed | None) -> str | None:
    return made.text if made else None
