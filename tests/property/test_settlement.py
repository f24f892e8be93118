"""Settling any possible outcome: nothing is stuck, and only a success pays."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.dunning import CLIMBING, Cap, History, Policy
from billing.domain.invoice import Blocked, InvoiceStatus
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
from billing.domain.subscription import SubscriptionStatus
from tests.unit.settlement_world import (
    DAY,
    IN_FLIGHT,
    LIMITS,
    SENT,
    applied,
    assert_not_stuck,
    facts,
    settle,
)

News = tuple[Outcome | NotFound, Source]

counts = st.integers(0, 12)
histories = st.builds(
    History, counts, counts, counts, counts, counts, st.none() | st.sampled_from(CLIMBING)
)
spans = st.timedeltas(timedelta(0), 40 * DAY)
live = st.sampled_from(
    [Succeeded(), Unsent("refused"), Unknown("timeout")]
    + [Pending(waiting) for waiting in Waiting]
    + [Declined(fault, "E1") for fault in Fault]
)
asked = st.sampled_from(
    [
        Succeeded(),
        Unknown("timeout"),
        NotFound(),
        Pending(Waiting.CUSTOMER),
        Declined(Fault.OTHER, "failed"),
    ]
)
told = st.sampled_from([Succeeded(), Declined(Fault.OTHER, "operator")])
news_of_any_kind = st.one_of(
    st.tuples(live, st.just(Source.LIVE)),
    st.tuples(asked, st.just(Source.STATUS)),
    st.tuples(told, st.just(Source.OPERATOR)),
)
ladders = st.sampled_from([(), ("1d",), ("2d", "5d", "7d", "7d"), ("0 10 25 * *", "30m")])
caps = st.none() | st.integers(1, 8)
policies = st.builds(
    Policy,
    ladders,
    st.dictionaries(st.sampled_from(CLIMBING), ladders),
    caps,
    caps,
    st.none() | st.integers(1, 60),
)


@st.composite
def known_facts(draw: st.DrawFn) -> Facts:
    """Facts that rows can hold: what excludes each other in the database does so here."""
    status = draw(st.sampled_from(ChargeStatus))
    seen = st.none() | spans.map(lambda span: SENT + span)
    return replace(
        IN_FLIGHT,
        charge_status=status,
        trigger=draw(st.sampled_from(Trigger)),
        sends=draw(st.integers(1, 4)),
        status_queries=draw(counts),
        failed_seen_at=draw(seen) if status in UNRESOLVED else None,
        waiting=draw(st.sampled_from(Waiting)) if status is ChargeStatus.PENDING else None,
        invoice_status=draw(
            st.sampled_from([InvoiceStatus.PAID])
            if status is ChargeStatus.SUCCEEDED
            else st.sampled_from(InvoiceStatus)
        ),
        reopened=draw(st.booleans()),
        first_failed_at=draw(st.none() | spans.map(lambda span: SENT - span)),
        subscription_status=draw(st.sampled_from(SubscriptionStatus)),
        policy=draw(policies),
        planned_at=draw(st.none() | spans.map(lambda span: SENT + span)),
        step_deadline_at=draw(st.none() | spans.map(lambda span: SENT + span)),
        last_cycle=draw(st.booleans()),
        other_open=draw(st.booleans()),
        wallet_active=draw(st.booleans()),
        relinked=draw(st.booleans()),
        charging=draw(st.booleans()),
        suspected=draw(
            st.none() | st.sampled_from(Fault).map(lambda fault: Declined(fault, "E1"))
            if status in {ChargeStatus.UNKNOWN, ChargeStatus.PENDING}
            else st.none()
        ),
        tripped=draw(st.booleans()),
        parked=draw(st.booleans()),
        resolved_at=draw(seen) if status not in UNRESOLVED else None,
        notified=draw(st.booleans()),
        history=draw(histories),
    )


def _signs(decision: Decision) -> tuple[object, ...]:
    """What of a decision touches money or a customer; counters and dates of questions do not."""
    return (
        decision.pays, decision.surplus, decision.give_back, decision.retry_at, decision.gives_up,
        decision.resend, decision.wallet_lost, decision.move,
    )  # fmt: skip


NO_SIGN = (False, False, None, None, False, False, False, None)


@settings(max_examples=150)
@given(known_facts(), st.sampled_from(Source))
def test_a_success_is_decided_by_few_facts(known: Facts, source: Source) -> None:
    """Facts that are not read for a succeeded charge do not change its decision."""
    looked_up = Facts(
        known.charge_status, known.invoice_status, known.subscription_status, known.sent_at,
        known.zone, last_cycle=known.last_cycle, other_open=known.other_open,
        parked=known.parked, resolved_at=known.resolved_at, notified=known.notified,
    )  # fmt: skip

    decisions = [
        decide(those, Succeeded(), source, now=SENT + DAY, limits=LIMITS)
        for those in (known, looked_up)
    ]
    assert decisions[0] == decisions[1]


@settings(max_examples=150)
@given(known_facts(), news_of_any_kind, spans)
def test_no_decision_leaves_anything_stuck_or_pays_without_a_success(
    known: Facts, news: News, age: timedelta
) -> None:
    """An open charge is asked about or parked; an ended one says what becomes of its invoice."""
    outcome, source = news
    now = SENT + age

    decision = decide(known, outcome, source, now=now, limits=LIMITS)

    if decision is None:
        is_late = known.charge_status not in UNRESOLVED or isinstance(outcome, Unsent)
        assert is_late or source is Source.OPERATOR
        return
    if decision.rechecked:
        assert known.resolved_at is not None or known.notified
        assert _signs(decision) == NO_SIGN
        return
    assert_not_stuck(known, decision, now)
    if source is Source.LIVE or (known.tripped and source is Source.STATUS):
        assert not decision.gives_up
        assert not decision.wallet_lost
    assert (decision.pays or decision.surplus) == isinstance(outcome, Succeeded)
    assert (decision.status is ChargeStatus.SUCCEEDED) == isinstance(outcome, Succeeded)
    assert decision.surplus == (decision.give_back is not None)
    if known.charge_status not in UNRESOLVED:
        assert known.charge_status in {ChargeStatus.DECLINED, ChargeStatus.UNSENT}
        assert decision.status is ChargeStatus.SUCCEEDED
    if decision.resend:
        assert isinstance(outcome, NotFound)
        assert now - known.sent_at >= LIMITS.not_found_horizon
        assert known.charging
        assert known.wallet_active
        assert known.invoice_status is InvoiceStatus.OPEN
    if decision.status is ChargeStatus.UNSENT:
        assert known.sends == 1
    applied(known, decision, now)  # every move that was decided is possible


@settings(max_examples=150)
@given(known_facts(), news_of_any_kind, spans)
def test_the_same_news_twice_decides_nothing_the_second_time(
    known: Facts, news: News, age: timedelta
) -> None:
    """A doubled message, or an answer settled again after a lost commit, changes nothing."""
    outcome, source = news
    now = SENT + age
    first = decide(known, outcome, source, now=now, limits=LIMITS)
    if first is None:
        return
    recorded = applied(known, first, now)

    second = decide(recorded, outcome, source, now=now, limits=LIMITS)

    if known.resolved_at is not None or known.notified:
        assert second is None or _signs(second) == NO_SIGN
    elif first.status not in UNRESOLVED:
        assert second is None
    elif second is not None:
        assert _signs(second) == NO_SIGN
        assert second.status in UNRESOLVED


@dataclass
class Ledger:
    """One invoice and its charges, kept as the rows would be: counted from what is committed."""

    known: Facts
    now: datetime = SENT
    due_at: datetime | None = None
    declines: list[tuple[Trigger, Fault]] = field(default_factory=list)
    unsent: int = 0
    charges: int = 1
    succeeded: int = 0
    given_back: int = 0
    blocked: int = 0
    cap: Cap | None = None

    def decline(self, fault: Fault) -> None:
        """Hear a live decline, and that it still is one when it is asked about once more."""
        self.hear(Declined(fault, "E1"), Source.LIVE)
        if self.known.charge_status in UNRESOLVED:
            self.hear(Declined(Fault.OTHER, "failed"), Source.STATUS)

    def hear(self, outcome: Outcome | NotFound, source: Source) -> bool:
        """Settle news of the present charge at the present moment; False: it was none."""
        decision = decide(self.known, outcome, source, now=self.now, limits=LIMITS)
        if decision is None:
            return False
        self.cap = decision.cap or self.cap
        assert_not_stuck(self.known, decision, self.now)
        if decision.status is ChargeStatus.DECLINED and decision.fault is not None:
            self.declines.append((self.known.trigger, decision.fault))
        self.unsent += decision.status is ChargeStatus.UNSENT
        self.succeeded += decision.status is ChargeStatus.SUCCEEDED
        self.given_back += decision.give_back is not None
        self.blocked += decision.blocked_on is Blocked.WALLET
        self.known = applied(self.known, decision, self.now)
        ends = decision.status not in UNRESOLVED
        self.due_at = decision.retry_at if ends else decision.next_check_at
        return True

    @property
    def history(self) -> History:
        """What became of the earlier charges, counted as the design says."""
        scheduled = [fault for trigger, fault in self.declines if trigger is Trigger.SCHEDULED]
        return History(
            scheduled_declines=sum(
                fault not in {Fault.WALLET, Fault.TECHNICAL} for fault in scheduled
            ),
            technical_declines=scheduled.count(Fault.TECHNICAL),
            unsent=self.unsent,
            attempts=sum(fault is not Fault.WALLET for _, fault in self.declines),
            last_fault=next((f for f in reversed(scheduled) if f is not Fault.WALLET), None),
        )

    def charge_again(self, trigger: Trigger) -> None:
        """Claim the next charge of the invoice; a person's goes before the date there was."""
        self.charges += 1
        by_hand = trigger is not Trigger.SCHEDULED and self.known.first_failed_at is not None
        self.known = replace(
            self.known, charge_status=ChargeStatus.IN_FLIGHT, trigger=trigger, sends=1,
            status_queries=0, sent_at=self.now, failed_seen_at=None, waiting=None,
            wallet_active=True, suspected=None,
            history=self.history, planned_at=self.due_at if by_hand else None,
        )  # fmt: skip


@settings(max_examples=100)
@given(policies, st.lists(st.tuples(news_of_any_kind, st.sampled_from(Trigger)), max_size=40))
def test_the_life_of_an_invoice_takes_its_money_once(
    policy: Policy, story: list[tuple[News, Trigger]]
) -> None:
    """After any answers in any order, one payment is kept or none."""
    ledger = Ledger(facts(policy=policy))
    for (outcome, source), trigger in story:
        is_news = ledger.hear(outcome, source)
        assert ledger.succeeded - ledger.given_back <= 1
        is_paid = ledger.known.invoice_status is InvoiceStatus.PAID
        assert is_paid == (ledger.succeeded - ledger.given_back == 1)
        if ledger.due_at is not None:
            assert ledger.due_at > ledger.now or not is_news
            ledger.now = ledger.due_at
        settled = ledger.known.charge_status not in UNRESOLVED
        if settled and ledger.known.invoice_status is InvoiceStatus.OPEN:
            assert ledger.due_at is not None
            ledger.charge_again(trigger)


@given(
    policies,
    # Some of the faults, again and again: all mixed would meet a hard one soon.
    st.sets(st.sampled_from(Fault), min_size=1, max_size=3).flatmap(
        lambda some: st.lists(st.sampled_from(sorted(some)), min_size=40, max_size=40)
    ),
)
def test_declines_of_any_kind_come_to_an_end(policy: Policy, faults: list[Fault]) -> None:
    """The due date, the steps, four technical retries, and a link each time the wallet was lost."""
    ledger = Ledger(facts(policy=policy))
    longest = max(len(steps) for steps in (policy.steps, *policy.ladders.values()))
    for fault in faults:
        ledger.decline(fault)
        if ledger.known.invoice_status is not InvoiceStatus.OPEN:
            break
        assert ledger.charges <= 1 + longest + 4 + ledger.blocked
        assert_within(policy, ledger)
        assert ledger.due_at is not None
        assert ledger.due_at > ledger.now
        ledger.now = ledger.due_at
        ledger.charge_again(Trigger.SCHEDULED)

    if Fault.HARD in faults or len(faults) - faults.count(Fault.WALLET) > longest + 4:
        assert ledger.known.invoice_status is InvoiceStatus.UNCOLLECTIBLE


def assert_within(policy: Policy, ledger: Ledger) -> None:
    """An open invoice has reached none of its caps, and is due within its days."""
    past, first = ledger.history, ledger.known.first_failed_at
    assert policy.attempts_max is None or past.attempts < policy.attempts_max
    assert policy.declines_max is None or past.steps_spent < policy.declines_max
    if first is not None and policy.days_max is not None and ledger.due_at is not None:
        assert ledger.due_at <= first + policy.days_max * DAY


@given(
    policies,
    st.lists(st.sampled_from([*CLIMBING, Fault.TECHNICAL]), min_size=40, max_size=40),
    st.lists(st.sampled_from(Trigger), min_size=40, max_size=40),
)
def test_no_sequence_of_declines_exceeds_a_cap(
    policy: Policy, faults: list[Fault], triggers: list[Trigger]
) -> None:
    """At a cap dunning gives up and names it, for every trigger and every fault."""
    ledger = Ledger(facts(policy=policy))
    for fault, trigger in zip(faults, triggers, strict=True):
        ledger.decline(fault)
        if ledger.known.invoice_status is not InvoiceStatus.OPEN:
            assert ledger.cap is not None
            break
        assert_within(policy, ledger)
        assert ledger.due_at is not None
        by_hand = trigger is not Trigger.SCHEDULED
        ledger.now += (ledger.due_at - ledger.now) / (2 if by_hand else 1)
        ledger.charge_again(trigger)

    most = policy.attempts_max or len(faults) + 1
    assert ledger.charges <= most


@given(
    st.lists(st.sampled_from([Fault.LIMIT, Fault.OTHER, Fault.TECHNICAL]), max_size=8),
    st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=6)), min_size=8, max_size=8),
)
def test_retries_by_hand_leave_the_ladder_where_it_was(
    faults: list[Fault], pauses: list[timedelta]
) -> None:
    """After the first decline a person may try as often as they like: day 2 is still day 2."""
    ledger = Ledger(facts())
    ledger.hear(Declined(Fault.INSUFFICIENT_FUNDS, "E51"), Source.LIVE)
    for fault, pause in zip(faults, pauses, strict=False):
        ledger.now = min(ledger.now + pause, SENT + 2 * DAY - timedelta(seconds=1))
        ledger.charge_again(Trigger.OPERATOR)
        ledger.hear(Declined(fault, "E1"), Source.LIVE)
        assert ledger.due_at == SENT + 2 * DAY

    ledger.now = SENT + 2 * DAY
    ledger.charge_again(Trigger.SCHEDULED)
    ledger.hear(Declined(Fault.INSUFFICIENT_FUNDS, "E51"), Source.LIVE)
    assert ledger.due_at == SENT + 7 * DAY


@given(
    st.lists(asked.filter(lambda news: not isinstance(news, Succeeded)), min_size=40, max_size=40)
)
def test_asking_comes_to_an_end(answers: list[Outcome | NotFound]) -> None:
    """With any answers short of a success, and none from the wire, the charge ends or is parked."""
    known, now = facts(), SENT
    decision = settle(known, Unknown("timeout"), now=now)
    for answer in answers:
        known = applied(known, decision, now)
        if decision.next_check_at is None:
            break
        now = decision.next_check_at
        decision = settle(known, answer, Source.STATUS, now=now)

    assert decision.parked or decision.status is ChargeStatus.DECLINED
