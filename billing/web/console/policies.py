"""Policies: a comparison of dunning policies on simulated wallets, for the page Failures.

The same policies give the same figures; the newest comparisons are kept. This module reads nothing
from the database.
"""

from functools import lru_cache
from typing import NamedTuple

from billing.domain import dunning
from billing.domain.dunning import RetryTerms
from billing.simulation import comparing
from billing.simulation.comparing import Figures
from billing.simulation.contenders import Contender

WALLETS, MONTHS, SEED = 120, 6, 1
STEPS_MAX = 200
PLAN, BLIND, STANDARD, OWN = "plan", "blind", "standard", "own"


class Terms(NamedTuple):
    """The dunning columns of a plan, in a form that can be compared."""

    retries: str
    retries_for: tuple[tuple[str, str], ...]
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None


@lru_cache(maxsize=64)
def compare(terms: Terms, own: str) -> tuple[Figures, ...]:
    """Compare a plan's policy with others. Raises InvalidValue for own steps that are wrong."""
    retry = RetryTerms(
        terms.retries, dict(terms.retries_for), terms.declines_max, terms.attempts_max,
        terms.days_max,
    )  # fmt: skip
    policy = dunning.policy_of(retry)
    found = [Contender(PLAN, policy, is_aware=True), Contender(BLIND, policy, is_aware=False)]
    standard = dunning.policy_of(RetryTerms(dunning.DEFAULT_RETRIES, None, None, None, None))
    if standard != policy:
        found.append(Contender(STANDARD, standard, is_aware=True))
    if own:
        steps = dunning.policy_of(retry._replace(retries=own, retries_for=None))
        found.append(Contender(OWN, steps, is_aware=True))
    scores = [comparing.Score(each) for each in found]
    for _ in comparing.compare(scores, comparing.population(WALLETS, SEED), MONTHS):
        pass
    return tuple(score.figures() for score in scores)
