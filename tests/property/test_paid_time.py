"""Paid time: after any acts on a subscription, in any order and with late ticks, it adds up.

The engine runs on the real database, with a gateway that accepts everything. An oracle computes the
same life by instants; days, money and intents of both must agree.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.domain import intents
from billing.domain.intents import Action, Intent
from billing.domain.subscription import RefundPolicy
from billing.sandbox.process import SandboxProcess
from billing.services.subscriptions import proration
from tests.integration.kept import Kept
from tests.property.lived import Lived
from tests.property.paid_time import MORE, OFFERS
from tests.property.paid_time_play import Play

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "100"))
WITHOUT_A_RULE = 50
QUICKLY = (Phase.explicit, Phase.generate)
"""A life is short enough to be read as it is; to look for a shorter one takes many minutes."""
many = settings(max_examples=EXAMPLES, phases=QUICKLY, suppress_health_check=list(HealthCheck))

days = st.integers(1, 50).map(lambda n: timedelta(days=n))
waits = st.tuples(st.just("wait"), days | days.map(lambda span: span + timedelta(hours=13)))
leaps = st.tuples(st.just("leap"), st.integers(1, 100).map(lambda n: timedelta(days=n)))
late = st.tuples(st.just("late"), days)
to_due = st.tuples(st.just("to_due"), st.integers(1, 2))
untils = st.none() | st.sampled_from(["due", "second due"]) | days
pauses = st.tuples(st.just("pause"), st.sampled_from(["now", "now", "period-end"]), untils)
resumes = st.tuples(st.just("resume"), st.sampled_from(["anchor", "now", "now"]))
plans = st.sampled_from(list(OFFERS))
changes = st.tuples(
    st.just("change"),
    st.tuples(plans, st.none()) | st.tuples(st.none(), st.integers(1, 3)),
    st.sampled_from(["now", "now", "period-end"]),
)
cancels = st.tuples(
    st.just("cancel"),
    st.sampled_from(["period-end", "period-end", "period-end", "now"]) | days,
    st.sampled_from(list(RefundPolicy)),
)
others = st.sampled_from([("withdraw",), ("coupon", "HALF"), ("coupon", "FREE")])
acts: st.SearchStrategy[Sequence[Any]] = st.one_of(
    waits, waits, leaps, late, to_due, pauses, resumes, resumes, changes, changes, cancels, others
)
# A plan that goes by while no tick runs is what single deeds seldom make.
late_plans = st.tuples(
    st.tuples(st.just("pause"), st.sampled_from(["now", "period-end"]), days)
    | st.tuples(st.just("cancel"), days, st.sampled_from(list(RefundPolicy))),
    st.tuples(st.just("leap"), st.integers(20, 150).map(lambda n: timedelta(days=n))),
)
bouts = st.one_of(acts.map(lambda act: (act,)), acts.map(lambda act: (act,)), late_plans)
lives = st.lists(bouts, min_size=1, max_size=7).map(lambda life: list(chain.from_iterable(life)))

hard_plans = st.sampled_from(["MONTH", "TEN", *OFFERS, *MORE, *MORE])
to_another = st.tuples(
    st.just("change"),
    st.tuples(hard_plans, st.none()) | st.tuples(st.none(), st.integers(1, 3)),
    st.sampled_from(["now", "now", "period-end"]),
)
wallets = st.tuples(st.just("wallet"), st.booleans())
by_hand = st.tuples(st.sampled_from(["retry", "retry", "void"]), st.integers(0, 2))
hardships: st.SearchStrategy[Sequence[Any]] = st.one_of(acts, waits, wallets, by_hand, to_another)
# A period that cannot be paid, until dunning has given up; and an action after that.
broke = st.tuples(
    st.just(("wallet", False)),
    st.tuples(st.just("to_due"), st.just(1)),
    st.sampled_from([("wait", timedelta(days=n)) for n in (0, 1, 2, 5)]),
    wallets,
    st.one_of(by_hand, resumes, resumes, hardships),
)
hard_bouts = st.one_of(broke, broke, hardships.map(lambda act: (act,)), late_plans)
hard_lives = st.tuples(
    st.one_of(broke, late_plans, st.just(())), st.lists(hard_bouts, min_size=1, max_size=4)
).map(lambda life: [*life[0], *chain.from_iterable(life[1])])


@pytest.fixture
def lived(_kept: Kept, gateway: SandboxProcess) -> Iterator[Lived]:
    """An engine at a gateway that says yes; every life empties its database."""
    engine = Lived(_kept, gateway)
    logs = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield engine
    structlog.configure(**logs)
    _kept.empty()
    engine.close()


@pytest.mark.timeout(120 + 6 * EXAMPLES)
@many
@given(plan=plans, life=lives)
def test_no_day_is_paid_twice_and_none_is_free_without_a_reason(
    lived: Lived, plan: str, life: Sequence[Sequence[Any]]
) -> None:
    """
    By day: at most one paid period, one for each day served, and the money of exactly these days.

    Every intent takes effect as of its date, or ends with an event. Late ticks change nothing.
    """
    Play(lived, plan).through(life)


@pytest.mark.timeout(120 + 6 * EXAMPLES)
@many
@given(plan=hard_plans, life=hard_lives)
def test_debts_terms_and_outages_cost_nobody_a_day(
    lived: Lived, plan: str, life: Sequence[Sequence[Any]]
) -> None:
    """The same, of customers who cannot pay, plans with an end, and plans that leave periods out.

    Paying an old invoice pays no day twice, and waiving one waives nothing else.
    """
    Play(lived, plan).through(life)


def fails_within(engine: Lived, examples: int) -> bool:
    """Return whether the property fails within N lives, which are the same every time."""

    @settings(
        max_examples=examples, derandomize=True, phases=[Phase.generate], database=None,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(plan=plans, life=lives)
    def play(plan: str, life: Sequence[Sequence[Any]]) -> None:
        Play(engine, plan).through(life)

    try:
        play()
    except AssertionError:
        return True
    except BaseExceptionGroup as several:
        return several.subgroup(AssertionError) is not None
    return False


@pytest.mark.timeout(120 + 6 * WITHOUT_A_RULE)
def test_without_the_table_the_property_fails(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that keeps every intent is found within fifty lives."""
    kept = {action: dict.fromkeys(Intent, intents.KEEP) for action in Action}
    for action in (Action.PAUSE_DUE, Action.RESUME_DUE, Action.CANCEL_DUE, Action.CANCEL_NOW):
        kept[action] = dict(intents.TABLE[action])
    monkeypatch.setattr(intents, "TABLE", kept)

    assert fails_within(lived, WITHOUT_A_RULE)


@pytest.mark.timeout(120 + 6 * WITHOUT_A_RULE)
def test_without_the_settling_of_unused_days_the_property_fails(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut period without a refund is found within fifty lives."""
    monkeypatch.setattr(proration, "give", lambda *_: 0)

    assert fails_within(lived, WITHOUT_A_RULE)


@pytest.mark.timeout(120 + 6 * WITHOUT_A_RULE)
def test_effects_at_the_tick_instead_of_the_date_fail_the_property(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A return as of the tick's time leaves periods out: found within fifty lives."""
    from billing.services.subscriptions import pausing

    plain = pausing._go_on

    def at_the_tick(*args: Any, **options: Mapping[str, Any]) -> str:
        if options.get("as_of") is not None:
            options["as_of"] = args[2]
        return plain(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pausing, "_go_on", at_the_tick)

    assert fails_within(lived, WITHOUT_A_RULE)
