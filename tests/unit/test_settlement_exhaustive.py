"""Every combination of facts and outcomes is decided, and the rules hold in each of them.

The facts are combined in groups that belong together; a new fact in no group fails a test here.
A fact is given a value only when it is read: one run stands for all combinations of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from itertools import product
from math import prod
from typing import Any, cast

from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.dunning import History, Policy
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.domain.settlement import Decision, Facts, Source, decide
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from tests.unit.settlement_world import (
    DAY,
    DEFAULT_STEPS,
    HORIZON,
    IN_FLIGHT,
    LIMITS,
    NOW,
    SENT,
    assert_not_stuck,
    moved,
)

STATUS = Source.STATUS
PENDING = ChargeStatus.PENDING
MAY_BE_SUSPECTED = {ChargeStatus.UNKNOWN, PENDING}
OLD = SENT + HORIZON
NEWS: Sequence[Outcome | NotFound] = (
    Succeeded(), Unsent("refused"), Unsent("limited", by_answer=True), Unknown("timeout"),
    NotFound(),
    *(Pending(waiting) for waiting in Waiting), *(Declined(fault, "E1") for fault in Fault),
)  # fmt: skip
BOTH = (False, True)
DATES = (None, SENT - DAY, SENT + DAY)

OF_THE_CHARGE: Mapping[str, Sequence[Any]] = {
    "sends": (1, 2),
    "status_queries": (0, 99),
    "failed_seen_at": (None, SENT - DAY),
    "waiting": (None, *Waiting),
    "suspected": (
        None,
        *(Declined(fault, "E9") for fault in (Fault.HARD, Fault.OTHER, Fault.TECHNICAL)),
    ),
    "tripped": BOTH,
    "wallet_active": BOTH,
    "charging": BOTH,
    "policy": (Policy(DEFAULT_STEPS), Policy(())),
    "resolved_at": (None, SENT),
    "notified": BOTH,
    "unsent_by_answer": BOTH,
}
"""What decides whether the charge has ended."""
OF_THE_TERM: Mapping[str, Sequence[Any]] = {
    "subscription_status": tuple(SubscriptionStatus),
    "last_cycle": BOTH,
    "other_open": BOTH,
    "parked": BOTH,
    "reopened": BOTH,
    "resolved_at": (None, SENT),
}
"""What decides what follows for invoice and subscription."""
OF_THE_LADDER: Mapping[str, Sequence[Any]] = {
    "trigger": tuple(Trigger),
    "first_failed_at": (None, SENT - DAY),
    "planned_at": DATES,
    "step_deadline_at": DATES,
    "relinked": BOTH,
    "reopened": BOTH,
    "history": (History(), History(4, 0, 9, 1, 13, Fault.LIMIT)),
}
"""What decides when an open invoice is tried again."""
GROUPS = (OF_THE_CHARGE, OF_THE_TERM, OF_THE_LADDER)
GIVEN = {"charge_status", "invoice_status", "sent_at", "zone"}
"""The first two are in every walk; the instants of news stand around `sent_at`."""


class Chosen:
    """Facts of which each gets its value when it is read for the first time.

    The values come from `path`: at each first read its next choice, or the first value. What a
    decision and its checks never read cannot change them, so that one run stands for every
    combination of the other facts.
    """

    def __init__(
        self, base: Facts, domains: Mapping[str, Sequence[Any]], path: Sequence[int]
    ) -> None:
        self._base, self._domains, self._path = base, domains, path
        self._read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Choose a value, which stays."""
        values = self._domains.get(name)
        if values is None:
            value = getattr(self._base, name)
        else:
            depth = len(self._read)
            value = values[self._path[depth] if depth < len(self._path) else 0]
            self._read.append(name)
        self.__dict__[name] = value
        return value

    def combinations(self) -> int:
        """How many combinations of facts this run stands for."""
        return prod(len(v) for name, v in self._domains.items() if name not in self._read)

    def next_path(self) -> list[int]:
        """Return the choices of the next run, or none when every choice was made."""
        path = [*self._path, *[0] * (len(self._read) - len(self._path))]
        assert len(path) == len(self._read), "the same choices lead to the same reads"
        while path and path[-1] + 1 == len(self._domains[self._read[len(path) - 1]]):
            path.pop()
        return [*path[:-1], path[-1] + 1] if path else []


def bases(group: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Facts, Mapping[str, Any]]]:
    """Every status of charge and invoice that rows can hold, with what a group may be in it."""
    for status, invoice in product(ChargeStatus, InvoiceStatus):
        if status is ChargeStatus.SUCCEEDED and invoice is not InvoiceStatus.PAID:
            continue
        running = invoice in {InvoiceStatus.OPEN, InvoiceStatus.PAID}
        base = replace(
            IN_FLIGHT, charge_status=status, invoice_status=invoice,
            subscription_status=SubscriptionStatus.ACTIVE if running
            else SubscriptionStatus.CANCELED,
        )  # fmt: skip
        yield (
            base,
            {name: vals if _may_vary(name, base) else vals[:1] for name, vals in group.items()},
        )


def _may_vary(name: str, base: Facts) -> bool:
    """Whether rows in this state have the fact, and may have any value of it."""
    status, is_open = base.charge_status, base.charge_status in UNRESOLVED
    match name:
        case "waiting":
            return status is PENDING
        case "suspected":
            return status in MAY_BE_SUSPECTED
        case "failed_seen_at" | "parked":
            return is_open
        case "resolved_at" | "notified":
            return not is_open
        case "reopened" | "relinked" | "planned_at" | "step_deadline_at" | "history":
            return base.invoice_status is InvoiceStatus.OPEN
    return True


def walked(group: Mapping[str, Sequence[Any]]) -> int:
    """Decide every outcome for every combination of facts, and check the decision.

    Returns the number of combinations.
    """
    count = 0
    for (base, domains), news, source, now in product(bases(group), NEWS, Source, (NOW, OLD)):
        if isinstance(news, NotFound) and source is not STATUS:
            continue  # only an answer to a question says so
        path: list[int] | None = None
        while path is None or path:
            known = Chosen(base, domains, path or [])
            _check(cast("Facts", known), news, source, now)
            count += known.combinations()
            path = known.next_path()
    return count


def _check(known: Facts, news: Outcome | NotFound, source: Source, now: datetime) -> None:
    decision = decide(known, news, source, now=now, limits=LIMITS)
    assert (decision is None) == _is_no_news(known, news, source, now)
    if decision is None:
        return
    _assert_trustworthy(known, decision, news, source)
    if not decision.rechecked:
        _assert_it_goes_on(known, decision, now)


def test_every_fact_is_in_a_walk() -> None:
    """Each fact has its values listed here, and every outcome is decided for each."""
    walked_facts = {name for group in GROUPS for name in group}

    assert walked_facts | GIVEN == {field.name for field in fields(Facts)}


def test_every_combination_that_ends_a_charge_is_decided() -> None:
    """Nothing raises, nothing is stuck, and each rule of trust holds everywhere."""
    assert walked(OF_THE_CHARGE) > 100_000


def test_every_combination_of_invoice_and_subscription_is_decided() -> None:
    """Every move that is decided is possible, and the term ends when nothing else is owed."""
    assert walked(OF_THE_TERM) > 100_000


def test_every_combination_of_dates_is_decided() -> None:
    """A manual retry, a new wallet and an uncollectible invoice leave nothing without a date."""
    assert walked(OF_THE_LADDER) > 50_000


def _is_no_news(known: Facts, news: Outcome | NotFound, source: Source, now: datetime) -> bool:
    """Return whether an outcome must decide nothing, by the design."""
    status = known.charge_status
    if status in UNRESOLVED:
        if source is Source.OPERATOR and (
            status is ChargeStatus.IN_FLIGHT or not (known.parked or now >= OLD)
        ):
            return True
        return isinstance(news, Unsent) and status is not ChargeStatus.IN_FLIGHT
    if isinstance(news, Succeeded) and status is not ChargeStatus.SUCCEEDED:
        return False
    return source is not STATUS or (known.resolved_at is None and not known.notified)


def _assert_trustworthy(
    known: Facts, decision: Decision, news: Outcome | NotFound, source: Source
) -> None:
    for_good = decision.gives_up or decision.wallet_lost
    if source is Source.LIVE or (source is STATUS and known.tripped):
        assert not for_good
    if source is STATUS and (decision.gives_up or (decision.wallet_lost and known.wallet_active)):
        announced = known.suspected is not None and known.charge_status is not PENDING
        assert announced or known.failed_seen_at is not None, "one answer alone"
    if decision.rechecked:
        signs = (for_good, decision.pays, decision.surplus, decision.resend)
        assert not any(signs)
        return
    assert (decision.status is ChargeStatus.SUCCEEDED) == isinstance(news, Succeeded)
    if decision.resend or decision.never_received:
        assert isinstance(news, NotFound)
        assert known.suspected is None or known.charge_status is PENDING
    if decision.status is ChargeStatus.UNSENT:
        assert known.sends == 1
        by_answer = isinstance(news, Unsent) and news.by_answer
        assert decision.by_answer == by_answer
        is_open = known.invoice_status is InvoiceStatus.OPEN
        assert is_open or not (by_answer or known.unsent_by_answer), "no sending follows"
    if decision.status is ChargeStatus.DECLINED:
        assert isinstance(news, Declined | NotFound)
        is_first = known.sends == 1 and not known.unsent_by_answer
        assert is_first or source is not Source.LIVE


def _assert_it_goes_on(known: Facts, decision: Decision, now: datetime) -> None:
    assert_not_stuck(known, decision, now)
    _status, invoice = moved(known, decision)  # every move that was decided is possible
    if decision.move is SubscriptionMove.COMPLETE:
        assert known.last_cycle
        assert not known.other_open
    if decision.move is SubscriptionMove.RECOVER:
        assert not known.other_open
    if known.reopened and decision.status is ChargeStatus.DECLINED:
        assert invoice is not InvoiceStatus.OPEN, "one try, and no ladder"
