"""Conservation of money: after any acts in any order, every rupiah is accounted for.

The engine and its database are real, the gateway is in memory with its own ledger, and the model
that checks them shares no code with the engine.
"""

import os
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.domain.conservation import Part, Split
from billing.domain.errors import InvalidValue
from billing.domain.outcomes import RefundOutcome, Unknown
from billing.domain.refund import RefundStatus
from billing.domain.refund_settlement import Decision, Facts
from billing.services.money import charge_money, refunding
from billing.services.operating import held_rows
from tests.integration.engine import Engine
from tests.integration.kept import Kept
from tests.property.money_life import Deed, Life

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "100"))
"""How many lives are played; `make properties` plays 2,000."""
WITHOUT_A_RULE = 50

which = st.integers(0, 3)
amounts = st.sampled_from([1, 700, 4_999, 15_000, 29_999, 30_000, 45_000])
fates = st.lists(
    st.sampled_from(["plain", "failed", "failed", "lost before", "lost after", "refused again"]),
    min_size=1, max_size=3,
)  # fmt: skip
prices = st.sampled_from([900, 900, 12_000, 30_000, 60_000])
gift = st.tuples(st.just("give"), amounts)
downgrade = st.tuples(st.just("change"), st.none(), prices)
pay_out = st.tuples(st.just("pay_out"), which, fates)
refund = st.tuples(st.just("refund"), which, st.none() | amounts, fates)
go_on = st.tuples(st.just("go_on"), which, fates)
decide = st.tuples(st.just("decide"), which, st.sampled_from(["returned-elsewhere", "kept"]))
cancel = st.tuples(st.just("cancel"), st.sampled_from(["none", "full", "full", "prorated"]), fates)
pay_fates = st.lists(st.sampled_from(["plain", "lost", "late"]), max_size=2)
renew = st.tuples(st.just("renew"), pay_fates, st.sampled_from([1, 9, 16, 33]))
speak = st.tuples(st.just("speak"), fates)
deeds: st.SearchStrategy[Deed] = st.one_of(
    gift, downgrade, pay_out, refund, go_on, decide, cancel, renew, speak,
    st.tuples(st.just("change"), st.sampled_from(["MONTH", "FORTNIGHT"]), st.none()),
    st.tuples(st.just("void"), which), st.tuples(st.just("fall_silent")),
)  # fmt: skip
scenes: st.SearchStrategy[tuple[Deed, ...]] = st.one_of(
    st.tuples(deeds),
    st.tuples(deeds),
    st.tuples(downgrade, pay_out),
    st.tuples(gift, renew, downgrade, pay_out),
    st.tuples(downgrade, renew, refund),
    st.tuples(refund, refund),
    st.tuples(st.tuples(st.just("void_unknown"), fates), go_on, decide),
    st.tuples(st.tuples(st.just("renew"), st.just(["late"]), st.just(33)), speak, decide),
    st.tuples(cancel, st.one_of(go_on, decide)),
)
lives = st.lists(scenes, min_size=1, max_size=3).map(
    lambda found: [deed for scene in found for deed in scene]
)
QUICKLY = (Phase.explicit, Phase.generate)
"""A life is short enough to be read as it is; to look for a shorter one would take minutes."""
many = settings(max_examples=EXAMPLES, phases=QUICKLY, suppress_health_check=list(HealthCheck))
fifty = settings(
    max_examples=WITHOUT_A_RULE, phases=QUICKLY, suppress_health_check=list(HealthCheck),
    derandomize=True, report_multiple_bugs=False,
)  # fmt: skip


def play(engine: Engine, emptied: Kept, story: list[Deed]) -> None:
    """Play one life in an empty database."""
    engine.audited = False  # refunds that wait for a person are findings, and part of the story
    Life(engine, emptied).play(story)


@pytest.mark.timeout(120 + 6 * EXAMPLES)
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
    monkeypatch.setattr(charge_money, "from_charge_first", lambda amount, kept: (0, amount))


def lose_payouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payout that is declined does not go back to its credit."""
    monkeypatch.setattr(charge_money.conservation, "undo_pay_out", lambda *_: None)


def move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one function does not do its work."""
    monkeypatch.setattr(charge_money, "move", forget)


def believe_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of trust is removed: an answer without a result is a decline."""
    plain = refunding.decide_live

    def decide(facts: Facts, outcome: RefundOutcome, now: datetime) -> Decision:
        if isinstance(outcome, Unknown):
            return Decision(RefundStatus.DECLINED, facts.waits)
        return plain(facts, outcome, now)

    monkeypatch.setattr(refunding, "decide_live", decide)


@pytest.mark.timeout(120 + 6 * WITHOUT_A_RULE)
@pytest.mark.parametrize("disable", [move_nothing, lose_payouts, spend_gifts, believe_anything])
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


def test_without_isolation_the_neighbour_stops_the_life(
    engine: Engine, emptied: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that fails as a whole fails for all its rows, and the property with it."""
    monkeypatch.setattr(held_rows, "isolate", lambda ids, work, *_, **__: [work(ids)])

    @fifty
    @given(story=lives)
    def played(story: list[Deed]) -> None:
        play(engine, emptied, story)

    with pytest.raises(InvalidValue, match="would exceed"):
        played()


STORIES: dict[str, list[Deed]] = {
    "a downgrade, a declined payout, refunds, a gift, an end": [
        ("renew", [], 9),
        ("change", None, 900),
        ("pay_out", 0, ["failed"]),
        ("refund", 0, 45_000),
        ("refund", 0, None),
        ("pay_out", 0),
        ("give", 4_999),
        ("renew", [], 33),
        ("cancel", "full", ["failed"]),
        ("go_on", 0, ["failed"]),
        ("decide", 0, "returned-elsewhere"),
    ],
    "a gift pays, a downgrade gives it back": [
        ("give", 15_000), ("renew", [], 9), ("change", None, 900), ("pay_out", 1), ("pay_out", 1),
    ],
    "money of a void invoice": [
        ("void_unknown", ["failed"]), ("refund", 1, None), ("renew", [], 1),
    ],
    "a second payment": [("renew", ["late"], 33), ("speak", ["failed"]), ("decide", 0, "kept")],
    "another interval in the middle of a period": [
        ("renew", ["late"], 33), ("speak", []), ("change", "FORTNIGHT", None),
        ("cancel", "none", []), ("decide", 0, "returned-elsewhere"),
    ],
    "a declined payout is used by the next invoice": [
        ("change", None, 900), ("renew", [], 9), ("refund", 3, 15_000, ["failed"]),
        ("give", 15_000), ("renew", [], 9), ("change", None, 12_000), ("pay_out", 0, ["failed"]),
    ],
    "a second sending refused": [("refund", 0, 700, ["refused again"]), ("renew", [], 1)],
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_stories_that_broke_it_once(engine: Engine, emptied: Kept, name: str) -> None:
    """Combinations that lost or made money before there was a rule."""
    play(engine, emptied, STORIES[name])
