"""The simulation against the engine itself: the same wallet, the same charges at the same times."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from billing.domain.dunning import Policy, parse_steps
from billing.simulation.contenders import Contender
from billing.simulation.playing import play
from billing.simulation.wallets import BEGIN, MINUTE, ONE_DAY, Life, Profile
from tests.integration.engine import START, Engine

DAYS_AHEAD = 60


def wallet(*, day: float | None) -> Life:
    """Make an empty wallet that gets fifty thousand N days after START, and keeps it."""
    life = Life(Profile(50_000, 1, 0, 0, 0, 0, 0, 0, 0), Random(0))
    life.reach((START + DAYS_AHEAD * ONE_DAY - BEGIN) // MINUTE)
    if day is not None:
        life.movements = [((START + timedelta(days=day) - BEGIN) // MINUTE, 50_000)]
    return life


PAYDAY = {"retries": "2d; 0 10 25 * *"}


@pytest.mark.parametrize(
    ("options", "day"),
    [
        ({}, 0.5), ({}, 8.1), ({}, 21.9), ({}, None), (PAYDAY, 20.1), (PAYDAY, None),
        ({"days_max": 10}, None), ({"declines_max": 2}, 8.1),
    ],
)  # fmt: skip
def test_a_wallet_fares_in_the_simulation_as_in_the_engine(
    engine: Engine, options: dict[str, Any], day: float | None
) -> None:
    """Paid at the same instant after as many charges, or given up after as many missed steps."""
    customer, subscription = engine.begun(every="1 year", cash=0, **options)
    if day is not None:
        engine.advance(START + timedelta(days=day))
        if engine.status(subscription) != "canceled":
            engine.gateway.control("POST", f"wallets/{customer}/top-up", {"amount": 50_000})
    engine.advance(START + DAYS_AHEAD * ONE_DAY)
    caps = {name: options.get(name) for name in ("declines_max", "days_max")}
    policy = Policy(parse_steps(options.get("retries", "2d 5d 7d 7d")), **caps)

    end = play(Contender("the engine's", policy, is_aware=True), wallet(day=day), [START])

    [invoice], [played] = engine.invoices(subscription), end.invoices
    assert played.paid_at == invoice["paid_at"]
    assert played.charges == len(engine.charges(subscription))
    assert played.past.steps_short == invoice["steps_short"]
    assert end.is_lost == (engine.status(subscription) == "canceled")
