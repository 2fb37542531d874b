"""Turns of a conversation put in the order that every wire format can say: the sides alternate."""

from collections.abc import Iterable

from gateway.conversation import Turn


def merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return the turns without those that say nothing, and with neighbours of the same side as one."""
    together: list[Turn] = []
    for turn in turns:
        if together and together[-1].role == turn.role:
            together[-1] = Turn(turn.role, (*together[-1].blocks, *turn.blocks))
        elif turn.blocks:
            together.append(turn)
    return tuple(together)
