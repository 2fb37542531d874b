"""How models are put in order."""

from registry.snapshot import ModelFacts


def rank_key(model: ModelFacts) -> tuple[float, float, int, str]:
    """Return the key by which models sort, the best first: score, then lower cost, larger window, id."""
    return (-model.score, model.cost_per_1k, -model.context_size, model.id)
