"""Intents: what is planned for a subscription, and how each action changes every plan.

An intent is a planned cancellation, pause, resume or change, or the end of a coupon. An action that
changes the timeline looks up each intent in `TABLE`, which has a cell for every pair of action and
intent, and then the intents that are pending together in `PAIRS`. This module does not know rows,
the clock, or how an action is carried out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from billing.domain.errors import IllegalMove
from billing.domain.events import NewEvent
from billing.domain.instants import spoken
from billing.domain.terms import NO_CANCEL, NO_CHANGE, Carried, Columns, Intents, OnAPlan


class Intent(StrEnum):
    """What may be planned. A cancellation at period end moves with the period; a date does not."""

    CANCEL = "cancel at period end"
    CANCEL_ON_DATE = "cancel on a date"
    PAUSE = "pause"
    RESUME = "resume on a date"
    CHANGE = "change at period end"
    COUPON_END = "coupon end"


class Action(StrEnum):
    """What may happen while something is planned."""

    CHANGE_NOW = "change now, same due dates"
    CHANGE_QUANTITY = "change quantity or price now"
    CHANGE_SCHEDULE = "change now, other due dates"
    CHANGE_PLANNED = "plan a change"
    CHANGE_WITHDRAWN = "withdraw a change"
    PAUSE_NOW = "pause now"
    PAUSE_PLANNED = "plan a pause"
    PAUSE_WITHDRAWN = "withdraw a pause"
    RESUME = "resume on the original schedule"
    RESUME_FROM_NOW = "resume with a new period from now"
    CANCEL_NOW = "cancel now"
    CANCEL_PLANNED = "plan a cancellation"
    CANCEL_WITHDRAWN = "withdraw a cancellation"
    COUPON_APPLIED = "apply a coupon"
    LINE_ADDED = "add a line to the next invoice"
    GIVE_UP_CANCEL = "dunning ends: cancel"
    GIVE_UP_UNPAID = "dunning ends: unpaid"
    GIVE_UP_PAUSE = "dunning ends: pause"
    COMPLETE = "last period settled"
    FALL_BEHIND = "charge declined"
    RECOVER = "unpaid invoice paid"
    OPEN_PERIOD = "a period opens"
    END_TRIAL = "the trial ends"
    VOID_INVOICE = "void an invoice"
    PAUSE_DUE = "the pause's date comes"
    RESUME_DUE = "the date of a resumption comes"
    CANCEL_DUE = "the cancellation's date comes"


class Verdict(StrEnum):
    """What becomes of an intent."""

    KEEP = "keep"
    MOVE = "move"
    DROP = "drop"
    FULFIL = "fulfil"
    REFUSE = "refuse"


class Target(StrEnum):
    """The new place of an intent that moves."""

    NEXT_START = "next start"
    NEXT_END = "next end"
    CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Cell:
    """One decision. `why` is the reason in the event of a drop, or the advice of a refusal."""

    verdict: Verdict
    why: str = ""
    target: Target | None = None
    unless_earlier: bool = False
    """A refusal that holds only for an intent which comes no later than the action."""
    hint: str = ""  # the command that withdraws the intent


KEEP, FULFIL = Cell(Verdict.KEEP), Cell(Verdict.FULFIL)
_FIRST = "withdraw that first"
_TAKE_CANCEL_BACK = "billing subscription cancel {id} --withdraw"
_TAKE_PAUSE_BACK = "billing subscription resume {id}"
_REFUSE_CANCEL = Cell(Verdict.REFUSE, f"it ends at {{at}}; {_FIRST}", hint=_TAKE_CANCEL_BACK)
_REFUSE_PAUSE = Cell(Verdict.REFUSE, f"it pauses at {{at}}; {_FIRST}", hint=_TAKE_PAUSE_BACK)
_BEFORE = f"it ends at {{at}}, before that; {_FIRST}"
_ENDS_BEFORE = replace(_REFUSE_CANCEL, why=_BEFORE, unless_earlier=True)
_NONE_COMES = f"it ends at {{at}}, and no invoice comes before that; {_FIRST}"
_NO_INVOICE = replace(_ENDS_BEFORE, why=_NONE_COMES)


def _drop(why: str) -> Cell:
    return Cell(Verdict.DROP, why)


def _move(target: Target, why: str) -> Cell:
    return Cell(Verdict.MOVE, why, target)


def _row(usual: Cell, others: Mapping[str, Cell]) -> Mapping[Intent, Cell]:
    return {intent: others.get(intent.name.lower(), usual) for intent in Intent}


def _kept(**others: Cell) -> Mapping[Intent, Cell]:
    """Build a row that keeps every intent except those that are named."""
    return _row(KEEP, others)


def _ended(why: str, **others: Cell) -> Mapping[Intent, Cell]:
    """Build a row that drops every intent except those that are named: the subscription ends."""
    return _row(_drop(why), others)


_CARRIED = _move(Target.CARRIED, "a change made now names the same")
_NEW_PAUSE = _drop("replaced by another pause")
_NEW_CANCEL = _drop("replaced by another cancellation")
_WITHDRAWN = _drop("withdrawn")
_PAUSED_NOW = _drop("paused before that")
_UNPAID = _drop("dunning ended")

TABLE: Mapping[Action, Mapping[Intent, Cell]] = {
    Action.CHANGE_NOW: _kept(change=_CARRIED),
    Action.CHANGE_QUANTITY: _kept(change=_CARRIED),
    Action.CHANGE_SCHEDULE: _kept(
        cancel=_REFUSE_CANCEL, cancel_on_date=_REFUSE_CANCEL, pause=_REFUSE_PAUSE,
        change=_drop("replaced by a change made now"),
    ),
    Action.CHANGE_PLANNED: _kept(
        cancel=_ENDS_BEFORE, cancel_on_date=_ENDS_BEFORE,
        change=_drop("replaced by another planned change"),
    ),
    Action.CHANGE_WITHDRAWN: _kept(change=_WITHDRAWN),
    Action.PAUSE_NOW: _kept(pause=_PAUSED_NOW, resume=_NEW_PAUSE),
    Action.PAUSE_PLANNED: _kept(
        cancel=_ENDS_BEFORE, cancel_on_date=_ENDS_BEFORE, pause=_NEW_PAUSE, resume=_NEW_PAUSE
    ),
    Action.PAUSE_WITHDRAWN: _kept(pause=_WITHDRAWN, resume=_WITHDRAWN),
    Action.RESUME: _kept(
        cancel=_move(Target.NEXT_START, "the period begins later"),
        resume=_drop("resumed before that"),
    ),
    Action.RESUME_FROM_NOW: _kept(
        cancel=_move(Target.NEXT_END, "a new period begins now"),
        cancel_on_date=_REFUSE_CANCEL,
        resume=_drop("resumed before that"),
        change=_move(Target.NEXT_START, "a new period begins now"),
    ),
    Action.CANCEL_NOW: _ended("canceled before that"),
    Action.CANCEL_PLANNED: _kept(cancel=_NEW_CANCEL, cancel_on_date=_NEW_CANCEL),
    Action.CANCEL_WITHDRAWN: _kept(cancel=_WITHDRAWN, cancel_on_date=_WITHDRAWN),
    Action.COUPON_APPLIED: _kept(
        cancel=_NO_INVOICE, cancel_on_date=_NO_INVOICE,
        coupon_end=_drop("replaced by another coupon"),
    ),
    Action.LINE_ADDED: _kept(cancel=_NO_INVOICE, cancel_on_date=_NO_INVOICE),
    Action.GIVE_UP_CANCEL: _ended("dunning ended"),
    Action.GIVE_UP_UNPAID: _kept(pause=_UNPAID, resume=_UNPAID),
    Action.GIVE_UP_PAUSE: _kept(pause=_UNPAID, resume=_UNPAID),
    Action.COMPLETE: _ended("completed before that"),
    Action.FALL_BEHIND: _kept(),
    Action.RECOVER: _kept(),
    Action.OPEN_PERIOD: _kept(change=FULFIL, coupon_end=FULFIL),
    Action.END_TRIAL: _kept(),
    Action.VOID_INVOICE: _kept(),
    Action.PAUSE_DUE: _kept(pause=FULFIL),
    Action.RESUME_DUE: _kept(
        cancel=_move(Target.NEXT_START, "the period begins later"), resume=FULFIL
    ),
    Action.CANCEL_DUE: _ended("canceled before that", cancel=FULFIL, cancel_on_date=FULFIL),
}  # fmt: skip


class Pairing(StrEnum):
    """How two intents that are pending together limit each other."""

    ALONE = "never both"
    FREE = "independent"
    BY_DATE = "in the order of their dates"
    WHOLE = "no end inside the first period"


_ENDS = (Intent.CANCEL, Intent.CANCEL_ON_DATE)
_DATED = (*_ENDS, Intent.PAUSE, Intent.RESUME)
PAIRS: Mapping[frozenset[Intent], Pairing] = (
    {frozenset((one, other)): Pairing.FREE for one in Intent for other in Intent}
    | {frozenset((one, other)): Pairing.BY_DATE for one in _DATED for other in _DATED}
    | {frozenset((one, Intent.CHANGE)): Pairing.WHOLE for one in _ENDS}
    | {frozenset((one,)): Pairing.ALONE for one in Intent}
    | {frozenset(_ENDS): Pairing.ALONE}
)
BY_ITSELF = frozenset({Action.RESUME_DUE, Action.RECOVER})
"""The automatic actions among those that move a pair: they cannot be refused."""
PAIRING = BY_ITSELF | {
    Action.CHANGE_PLANNED, Action.CANCEL_PLANNED, Action.RESUME, Action.RESUME_FROM_NOW
}  # fmt: skip
"""After these actions, the order of the pending intents or the time between them may differ."""

COLUMNS: Mapping[Intent, Columns] = {
    Intent.CANCEL: NO_CANCEL,
    Intent.CANCEL_ON_DATE: NO_CANCEL,
    Intent.PAUSE: {"pause_at": None, "pause_period": None},
    Intent.RESUME: {"resume_at": None},
    Intent.CHANGE: NO_CHANGE,
    Intent.COUPON_END: {"coupon_code": None, "coupon_left": None},
}
"""The columns of each intent when it is not planned."""

NOUNS: Mapping[Intent, str] = {
    Intent.CANCEL: "cancel",
    Intent.CANCEL_ON_DATE: "cancel",
    Intent.PAUSE: "pause",
    Intent.RESUME: "resume",
    Intent.CHANGE: "change",
    Intent.COUPON_END: "coupon",
}
"""Events are called `subscription.NOUN_dropped` and `subscription.NOUN_moved`."""


class Planned(NamedTuple):
    """A pending intent. `at` is None for a coupon's end, which depends on a number of invoices."""

    intent: Intent
    at: datetime | None


class Place(NamedTuple):
    """The start of a period: its index and its instant."""

    period: int
    at: datetime


@dataclass(slots=True)
class Meeting:
    """What an action does to the pending intents: columns to write, and events to record."""

    columns: Columns = field(default_factory=Columns)
    facts: list[NewEvent] = field(default_factory=list)


def pending(row: Intents) -> Sequence[Planned]:
    """List what is planned for a subscription, each intent with its date."""
    found = []
    if row.cancel_at is not None:
        by_period = row.cancel_period is not None
        found.append(Planned(Intent.CANCEL if by_period else Intent.CANCEL_ON_DATE, row.cancel_at))
    for intent, at in (
        (Intent.PAUSE, row.pause_at), (Intent.RESUME, row.resume_at),
        (Intent.CHANGE, row.change_at),
    ):  # fmt: skip
        if at is not None:
            found.append(Planned(intent, at))
    if row.coupon_left is not None:
        found.append(Planned(Intent.COUPON_END, None))
    return found


def meet(
    row: Intents,
    action: Action,
    *,
    at: datetime | None = None,
    starts: Place | None = None,
    ends: Place | None = None,
    carried: Callable[[], Carried | None] | None = None,
) -> Meeting:
    """Decide about every pending intent. Raises IllegalMove where the table refuses.

    `at` is when the action takes effect. `starts` and `ends` are the start of the next period and
    of the period after that, after the action. `carried` combines the terms of a planned change
    with what is changed now; None when both name the same term.
    """
    meeting = Meeting()
    for planned in pending(row):
        cell = TABLE[action][planned.intent]
        if planned.intent is Intent.CHANGE and cell.target is Target.NEXT_START and is_moot(row):
            cell = _drop("it ends before that")
        match cell.verdict:
            case Verdict.KEEP:
                continue
            case Verdict.REFUSE:
                _refuse(row, planned, cell, at)
            case Verdict.FULFIL:
                meeting.columns |= COLUMNS[planned.intent]
            case Verdict.DROP:
                _drop_one(meeting, planned, cell.why)
            case Verdict.MOVE:
                _move_one(meeting, row, planned, cell, starts, ends, carried)
    return meeting


def is_moot(row: Intents) -> bool:
    """Whether a planned end comes no later than the planned change, which then has no effect."""
    ends, turns = row.cancel_at, row.change_at
    return ends is not None and turns is not None and ends <= turns


def beside(row: OnAPlan, action: Action, first: tuple[Place, Place]) -> Meeting:
    """Decide about a planned end beside a planned change with other due dates.

    `row` is the subscription after the action. `first` is the start and the end of the change's
    first period, which must be complete because it is paid. An end inside that period is refused,
    or moves to the period's end when it was planned for a period's end. After an automatic action
    the change is dropped instead. Raises IllegalMove.
    """
    start, end = first
    meeting = Meeting()
    for planned in pending(row):
        pairing = PAIRS[frozenset((planned.intent, Intent.CHANGE))]
        inside = planned.at is not None and start.at < planned.at < end.at
        if pairing is not Pairing.WHOLE or planned.at is None or not inside:
            continue
        if planned.intent is Intent.CANCEL:
            meeting.columns |= {"cancel_at": end.at, "cancel_period": end.period}
            data = {"why": "the change begins a longer period", "cancel_at": end.at.isoformat()}
            meeting.facts.append(("subscription.cancel_moved", data))
        elif action in BY_ITSELF:
            _drop_one(meeting, Planned(Intent.CHANGE, row.change_at), "it ends within that period")
        else:
            from_to = f"{spoken(start.at)} to {spoken(end.at)}"
            raise _inside(row, action, planned.at, from_to)
    return meeting


def _inside(row: OnAPlan, action: Action, at: datetime, from_to: str) -> IllegalMove:
    if action is Action.CANCEL_PLANNED:
        return IllegalMove(
            f"the planned change begins a period from {from_to}; choose an earlier or a later end,"
            " or withdraw the change",
            hint=f"billing subscription change {row.id} --plan {row.plan_code}",
        )
    said = f"it ends at {spoken(at)}, inside the change's first period, {from_to}; {_FIRST}"
    return IllegalMove(said, hint=_TAKE_CANCEL_BACK.format(id=row.id))


def _refuse(row: Intents, planned: Planned, cell: Cell, at: datetime | None) -> None:
    later = at is not None and planned.at is not None and planned.at > at
    if cell.unless_earlier and later:
        return
    when = "" if planned.at is None else spoken(planned.at)
    raise IllegalMove(cell.why.format(at=when), hint=cell.hint.format(id=row.id))


def _drop_one(meeting: Meeting, planned: Planned, why: str) -> None:
    meeting.columns |= COLUMNS[planned.intent]
    noun = NOUNS[planned.intent]
    date = {} if planned.at is None else {f"{noun}_at": planned.at.isoformat()}
    meeting.facts.append((f"subscription.{noun}_dropped", {"why": why, **date}))


def _move_one(
    meeting: Meeting,
    row: Intents,
    planned: Planned,
    cell: Cell,
    starts: Place | None,
    ends: Place | None,
    carried: Callable[[], Carried | None] | None,
) -> None:
    noun = NOUNS[planned.intent]
    if cell.target is Target.CARRIED:
        terms = carried() if carried is not None else None
        if terms is None:
            _drop_one(meeting, planned, cell.why)
        elif terms != (row.next_plan_code, row.next_quantity, row.next_amount):
            plan, quantity, amount = terms
            meeting.columns |= {
                "next_plan_code": plan, "next_quantity": quantity, "next_amount": amount
            }  # fmt: skip
            data = {"plan": plan, "quantity": quantity, "amount": amount}
            meeting.facts.append((f"subscription.{noun}_moved", data))
        return
    place = ends if cell.target is Target.NEXT_END else starts
    if place is None:
        _drop_one(meeting, planned, "no further period begins")
        return
    is_end = planned.intent is Intent.CANCEL
    if is_end and row.cancel_period is not None and place.period < row.cancel_period:
        return  # it ends with a period after the next one
    period: Columns = {"cancel_period": place.period} if is_end else {"change_period": place.period}
    meeting.columns |= period
    if place.at != planned.at:
        at: Columns = {"cancel_at": place.at} if is_end else {"change_at": place.at}
        meeting.columns |= at
        data = {"why": cell.why, f"{noun}_at": place.at.isoformat()}
        meeting.facts.append((f"subscription.{noun}_moved", data))
