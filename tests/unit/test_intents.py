"""Every pair of intent and action, compared with a table in this file."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from billing.domain import intents
from billing.domain.errors import IllegalMove
from billing.domain.intents import Action, Intent, Pairing, Place, Verdict
from billing.domain.terms import Carried

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
LETTERS = {
    "K": Verdict.KEEP, "M": Verdict.MOVE, "D": Verdict.DROP, "F": Verdict.FULFIL,
    "R": Verdict.REFUSE,
}  # fmt: skip
ORDER = (
    Intent.CANCEL, Intent.CANCEL_ON_DATE, Intent.PAUSE, Intent.RESUME, Intent.CHANGE,
    Intent.COUPON_END,
)  # fmt: skip
EXPECTED = {
    "change now, same due dates":           "K K K K M K",
    "change quantity or price now":         "K K K K M K",
    "change now, other due dates":          "R R R K D K",
    "plan a change":                        "R R K K D K",
    "withdraw a change":                    "K K K K D K",
    "pause now":                            "K K D D K K",
    "plan a pause":                         "R R D D K K",
    "withdraw a pause":                     "K K D D K K",
    "resume on the original schedule":      "M K K D K K",
    "resume with a new period from now":    "M R K D M K",
    "cancel now":                           "D D D D D D",
    "plan a cancellation":                  "D D K K K K",
    "withdraw a cancellation":              "D D K K K K",
    "apply a coupon":                       "R R K K K D",
    "add a line to the next invoice":       "R R K K K K",
    "dunning ends: cancel":             "D D D D D D",
    "dunning ends: unpaid":             "K K D D K K",
    "dunning ends: pause":              "K K D D K K",
    "last period settled":                  "D D D D D D",
    "charge declined":                      "K K K K K K",
    "unpaid invoice paid":                            "K K K K K K",
    "a period opens":                       "K K K K F F",
    "the trial ends":                       "K K K K K K",
    "void an invoice":                      "K K K K K K",
    "the pause's date comes":               "K K F K K K",
    "the date of a resumption comes":              "M K K F K K",
    "the cancellation's date comes":        "F F D D D D",
}  # fmt: skip


class Row(NamedTuple):
    """A subscription, with what is planned for it."""

    id: UUID = UUID(int=1)
    plan_code: str = "A"
    cancel_at: datetime | None = None
    cancel_period: int | None = None
    pause_at: datetime | None = None
    resume_at: datetime | None = None
    change_at: datetime | None = None
    coupon_left: int | None = None
    next_plan_code: str | None = "A"
    next_quantity: int | None = 1
    next_amount: int | None = 1


PLANNED: dict[Intent, dict[str, Any]] = {
    Intent.CANCEL: {"cancel_at": NOW, "cancel_period": 3},
    Intent.CANCEL_ON_DATE: {"cancel_at": NOW},
    Intent.PAUSE: {"pause_at": NOW},
    Intent.RESUME: {"resume_at": NOW},
    Intent.CHANGE: {"change_at": NOW},
    Intent.COUPON_END: {"coupon_left": 2},
}


@pytest.mark.parametrize(("action", "intent"), list(product(Action, Intent)))
def test_every_action_has_a_decision_about_every_intent(action: Action, intent: Intent) -> None:
    """A new action or intent needs a decision for each pair."""
    letters = EXPECTED[action].split()

    assert len(letters) == len(ORDER) == len(Intent)
    assert intents.TABLE[action][intent].verdict is LETTERS[letters[ORDER.index(intent)]]


@pytest.mark.parametrize(("action", "intent"), list(product(Action, Intent)))
def test_no_intent_ends_without_a_word(action: Action, intent: Intent) -> None:
    """A dropped or moved intent has an event with a reason; a refusal says what to do."""
    row = Row(**PLANNED[intent])
    cell = intents.TABLE[action][intent]
    starts, ends = Place(4, NOW + 3 * DAY), Place(5, NOW + 33 * DAY)

    if cell.verdict is Verdict.REFUSE:
        with pytest.raises(IllegalMove, match=f"billing subscription (cancel|resume) {row.id}"):
            intents.meet(row, action, at=NOW, starts=starts, ends=ends)
        return
    met = intents.meet(row, action, at=NOW, starts=starts, ends=ends)

    assert bool(met.columns) == (cell.verdict is not Verdict.KEEP)
    told = [kind for kind, _ in met.facts]
    noun = intents.NOUNS[intent]
    dropped = cell.verdict is Verdict.DROP or cell.target is intents.Target.CARRIED
    if dropped:
        assert told == [f"subscription.{noun}_dropped"]
        assert met.facts[0][1]["why"]
        assert all(met.columns[name] is None for name in PLANNED[intent])
    elif cell.verdict is Verdict.MOVE:
        assert told == [f"subscription.{noun}_moved"]
        assert met.columns[f"{noun}_at"] > NOW
    else:
        assert told == []


def test_a_plan_that_comes_after_the_end_is_refused_and_one_before_it_is_not() -> None:
    """A pause or change is planned beside an end only when it comes first."""
    row = Row(cancel_at=NOW + 10 * DAY, cancel_period=4)
    for action in (
        Action.PAUSE_PLANNED, Action.CHANGE_PLANNED, Action.COUPON_APPLIED, Action.LINE_ADDED
    ):  # fmt: skip
        assert intents.meet(row, action, at=NOW + 9 * DAY).facts == []
        with pytest.raises(IllegalMove, match="ends at 2026-03-11"):
            intents.meet(row, action, at=NOW + 10 * DAY)


def test_a_move_to_where_it_is_already_tells_nothing() -> None:
    """A resume on the original schedule does not move a cancellation at period end."""
    row = Row(**PLANNED[Intent.CANCEL])

    met = intents.meet(row, Action.RESUME, starts=Place(3, NOW))

    assert (met.columns, met.facts) == ({"cancel_period": 3}, [])


def test_a_move_without_a_further_period_is_a_drop() -> None:
    """When the term is over, intents for the next period are dropped with an event."""
    met = intents.meet(Row(**PLANNED[Intent.CHANGE]), Action.RESUME_FROM_NOW)

    assert [kind for kind, _ in met.facts] == ["subscription.change_dropped"]


def test_a_planned_change_is_carried_over_with_what_it_does_not_name() -> None:
    """The columns that the caller computes are written, and reported when they differ."""
    row = Row(**PLANNED[Intent.CHANGE])
    carried = Carried("A", 2, 2)
    columns = {"next_plan_code": "A", "next_quantity": 2, "next_amount": 2}

    met = intents.meet(row, Action.CHANGE_QUANTITY, carried=lambda: carried)
    same = intents.meet(row._replace(**columns), Action.CHANGE_QUANTITY, carried=lambda: carried)

    assert met.columns == columns
    assert met.facts == [("subscription.change_moved", {"plan": "A", "quantity": 2, "amount": 2})]
    assert (same.columns, same.facts) == ({}, [])


def test_an_end_that_is_planned_for_a_later_period_stays_where_it_is() -> None:
    """A resume at the start of a period does not end the subscription with that period."""
    row = Row(**PLANNED[Intent.CANCEL])

    met = intents.meet(row, Action.RESUME, starts=Place(2, NOW - 31 * DAY))

    assert (met.columns, met.facts) == ({}, [])


TOGETHER = {"-": Pairing.ALONE, "F": Pairing.FREE, "D": Pairing.BY_DATE, "W": Pairing.WHOLE}
EXPECTED_PAIRS = {
    "cancel at period end": "- - D D W F",
    "cancel on a date":     "- - D D W F",
    "pause":                "D D - D F F",
    "resume on a date":     "D D D - F F",
    "change at period end": "W W F F - F",
    "coupon end":           "F F F F F -",
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(product(Intent, Intent)))
def test_every_intent_has_a_decision_about_every_other(one: Intent, other: Intent) -> None:
    """A new intent needs a decision for each pair with the existing ones."""
    letters = EXPECTED_PAIRS[one].split()

    assert len(letters) == len(Intent)
    assert intents.PAIRS[frozenset((one, other))] is TOGETHER[letters[ORDER.index(other)]]


FIRST = (Place(4, NOW), Place(5, NOW + 365 * DAY))
TURNS = Row(change_at=NOW)


@pytest.mark.parametrize("action", sorted(intents.PAIRING))
@pytest.mark.parametrize("days", [-1, 0, 1, 364, 365, 366])
def test_no_end_falls_inside_the_first_period_of_new_due_dates(action: Action, days: int) -> None:
    """A request is refused with what to do; a scheduled action drops the change with an event."""
    row = TURNS._replace(cancel_at=NOW + days * DAY)
    if not 0 < days < 365:
        assert intents.beside(row, action, FIRST).facts == []
    elif action in intents.BY_ITSELF:
        met = intents.beside(row, action, FIRST)
        assert met.columns == intents.COLUMNS[Intent.CHANGE]
        assert [kind for kind, _ in met.facts] == ["subscription.change_dropped"]
    else:
        with pytest.raises(IllegalMove, match=f"billing subscription (cancel|change) {row.id}"):
            intents.beside(row, action, FIRST)


def test_an_end_for_a_periods_end_moves_to_the_end_of_the_changed_period() -> None:
    """It was planned for a whole period, which is longer now."""
    row = TURNS._replace(cancel_at=NOW + 31 * DAY, cancel_period=5)

    met = intents.beside(row, Action.RESUME, FIRST)

    assert met.columns == {"cancel_at": NOW + 365 * DAY, "cancel_period": 5}
    assert [kind for kind, _ in met.facts] == ["subscription.cancel_moved"]


def test_a_change_that_the_end_comes_before_does_not_move_in_front_of_it() -> None:
    """Both were for one instant: it ends, and the resume starts no year."""
    row = TURNS._replace(**PLANNED[Intent.CANCEL])

    met = intents.meet(row, Action.RESUME_FROM_NOW, starts=FIRST[0], ends=Place(5, NOW + 31 * DAY))

    assert (met.columns["change_at"], met.columns["cancel_at"]) == (None, NOW + 31 * DAY)
    kinds = [kind for kind, _ in met.facts]
    assert kinds == ["subscription.cancel_moved", "subscription.change_dropped"]
