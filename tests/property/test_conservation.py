"""Conservation of money: whatever is done in whatever order, every rupiah is accounted for.

The engine and its database are real, the gateway is a till in memory with a ledger of its own,
and the judge is a model that knows none of the engine's code.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.domain.conservation import Part, Split
from billing.services import returns
from tests.integration.engine import START, Engine
from tests.integration.kept import Kept
from tests.property.money_life import Deed, Life, life

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "100"))
"""How many lives are played; `make storm` plays 2,000."""

which = st.integers(0, 5)
amounts = st.sampled_from([1, 700, 4_999, 15_000, 29_999, 30_000, 45_000])
refund_fates = st.sampled_from(["plain", "failed", "failed", "lost before", "lost after",
                                "refused again"])  # fmt: skip
deeds: st.SearchStrategy[Deed] = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 9, 16, 31])),
    st.tuples(st.just("refund"), which, st.none() | amounts),
    st.tuples(st.just("give"), amounts),
    st.tuples(st.just("pay_out"), which),
    st.tuples(st.just("change"), st.none(), st.sampled_from([900, 12_000, 30_000, 60_000])),
    st.tuples(st.just("change"), st.sampled_from(["MONTH", "FORTNIGHT"]), st.none()),
    st.tuples(st.just("cancel"), st.sampled_from(["none", "full", "prorated"])),
    st.tuples(st.just("void"), which),
    st.tuples(st.just("befall"), st.lists(st.sampled_from(["plain", "lost", "late"]), max_size=2),
              st.lists(refund_fates, max_size=3)),
    st.tuples(st.just("fall_silent")),
    st.tuples(st.just("speak")),
    st.tuples(st.just("go_on"), which),
    st.tuples(st.just("decide"), which, st.sampled_from(["returned-elsewhere", "kept"])),
)  # fmt: skip
lives = st.lists(deeds, min_size=2, max_size=8)
QUICKLY = (Phase.explicit, Phase.generate)
"""A life is short enough to be read as it is; to look for a shorter one would take minutes."""
many = settings(max_examples=EXAMPLES, phases=QUICKLY, suppress_health_check=list(HealthCheck))
fifty = settings(
    max_examples=50, phases=QUICKLY, suppress_health_check=list(HealthCheck),
    derandomize=True, report_multiple_bugs=False,
)  # fmt: skip


def play(engine: Engine, emptied: Kept, story: list[Deed]) -> None:
    """Play one life in an empty database."""
    engine.audited = False  # refunds that wait for a person are findings, and part of the story
    emptied.empty()
    engine.set_clock(START)
    with life(engine) as lived:
        lived.play(story)


@many
@given(story=lives)
def test_every_rupiah_is_kept_refunded_or_credited(
    engine: Engine, emptied: Kept, story: list[Deed]
) -> None:
    """Refunds, credits, payouts, changes, ends, voids and second payments, in any order."""
    play(engine, emptied, story)


def forget(_connection: Any, _charge: Any, amount: int, source: Part, target: Part) -> Split:
    """A move that moves nothing."""
    return Split(amount)


def spend_gifts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the balance had covered comes back as money that can be paid out."""
    monkeypatch.setattr(returns, "from_charge_first", lambda amount, kept: (0, amount))


def lose_payouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payout that is declined does not go back to its credit."""
    monkeypatch.setattr(returns.conservation, "undo_pay_out", lambda *_: None)


def move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one function does not do its work."""
    monkeypatch.setattr(returns, "move", forget)


@pytest.mark.parametrize("disable", [move_nothing, lose_payouts, spend_gifts])
def test_without_the_rule_the_property_fails(
    engine: Engine, emptied: Kept, monkeypatch: pytest.MonkeyPatch, disable: Any
) -> None:
    """Each part of the rule that is taken away is missed within fifty lives."""
    disable(monkeypatch)

    @fifty
    @given(story=lives)
    def played(story: list[Deed]) -> None:
        play(engine, emptied, story)

    with pytest.raises((AssertionError, ValueError, KeyError)):
        played()


STORY: list[Deed] = [
    ("wait", 9),
    ("change", None, 900),
    ("befall", [], ["failed"]),
    ("pay_out", 0),
    ("refund", 0, 45_000),
    ("refund", 0, None),
    ("pay_out", 0),
    ("give", 4_999),
    ("wait", 31),
    ("cancel", "full"),
]


def test_one_story_with_everything(engine: Engine, emptied: Kept) -> None:
    """A downgrade, a declined payout, a refund too large and one that fits, a gift, an end."""
    play(engine, emptied, STORY)


__all__ = ["Life"]
