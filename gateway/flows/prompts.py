"""What models are told in the phases of a flow."""

from typing import Final

PLAN: Final = (
    "You make plans and first drafts. Answer the task below as completely and concretely as you can; a critic will read"
    " your answer before anyone uses it."
)
CRITIQUE: Final = (
    "You are a critic. Below are a task and an answer to it. Say what is wrong, missing, risky or vague in the answer,"
    " the gravest first, and what would be better. Do not write a new answer."
)
REFINE: Final = (
    "Below are a task, an answer to it and what a critic said. Write the answer anew: keep what is good, mend what the"
    " critic is right about, and leave the rest. Give the new answer alone, without a word about the critique."
)
IMPROVE: Final = (
    "Below are a task and an answer to it. Find its faults for yourself, then write a better answer. Give the new"
    " answer alone."
)
JUDGE: Final = (
    "Below are a task and several answers to it, each with its number. Choose the best of them. Reply with nothing but"
    ' a JSON object that holds its number, such as {"choice": 1}.'
)


def messages(instruction: str, **texts: str) -> list[dict[str, str]]:
    """Return an instruction and texts under their names, so that a model can tell them apart."""
    sections = "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in texts.items())
    return [{"role": "system", "content": instruction}, {"role": "user", "content": sections}]
