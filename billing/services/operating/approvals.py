"""Approvals: what is above a limit is done when a second person approves it, and once.

The first person's confirmed action is stored with what that person had read. Approving takes the
locks and makes the checks of a direct confirmation: what was shown is what happens, or nothing
does. The limits are for people in the console; API keys and commands have none.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection

from billing.domain import approvals
from billing.domain.approvals import Approvable, ApprovalMove, ApprovalStatus
from billing.domain.errors import BillingError, IllegalMove, NotKnown
from billing.domain.events import SCHEDULER, Actor
from billing.domain.payloads import Json
from billing.domain.people import Person
from billing.domain.subscription import RefundPolicy
from billing.services.context import Context, Request
from billing.services.money import refunding
from billing.services.operating import approval_ends, approval_terms, bulk, confirming
from billing.services.operating.approval_terms import TERMS
from billing.services.operating.confirming import Act, Basis, Changed
from billing.services.reading import effects
from billing.services.reading.effects import Effect
from billing.services.reading.inbox import Deed
from billing.services.subscriptions import canceling
from billing.store.queries import approvals as rows
from billing.store.queries import events, pages
from billing.store.queries.approvals import Approval
from billing.store.queries.holding import Kind

TOGETHER = timedelta(hours=24)
"""Refunds of one subscription within this time count together: parts are no way around a limit."""
_TASK = "console."


class AboveLimit(BillingError):
    """The action needs a second person; `amount` is the rupiah that it refunds."""

    def __init__(self, amount: int, effect: Effect) -> None:
        super().__init__(
            "this refunds more than one person may refund in the console; use the command line"
        )
        self.amount = amount
        self.effect = effect


class Order(NamedTuple):
    """A confirmed action: what is done with what, and the key of the form."""

    kind: Approvable
    subject: str
    subscription_id: UUID | None
    arguments: Json
    key: str


class Shown(NamedTuple):
    """What the person had read: rupiah, rows, the newest event, and the digest of the preview.

    `effect` is what the action would have done when it was confirmed.
    """

    amount: int
    rows_count: int = 1
    seen: int = 0
    basis: str = ""
    effect: Effect | None = None


def needs_second(context: Context, subscription_id: UUID, amount: int | None) -> bool:
    """Whether what refunds this amount of a subscription needs a second person."""
    limit = context.settings.approval_refund_above
    if not limit or not amount:
        return False
    with context.database.transaction() as connection:
        since = context.clock.now() - TOGETHER
        return amount + rows.refunded_since(connection, subscription_id, since) > limit


def lately(context: Context, subscription_id: UUID) -> int:
    """Return the rupiah of a subscription that count toward the limit now."""
    with context.database.transaction() as connection:
        return rows.refunded_since(connection, subscription_id, context.clock.now() - TOGETHER)


def limit_of(context: Context, subscription_id: UUID) -> Callable[[Effect], None]:
    """Return the check of an effect that raises AboveLimit.

    What was refunded before is read here: a refund that comes later is an event, for which the
    confirmation is refused.
    """
    limit = context.settings.approval_refund_above
    if not limit:
        return lambda _effect: None
    with context.database.transaction() as connection:
        since = context.clock.now() - TOGETHER
        earlier = rows.refunded_since(connection, subscription_id, since)

    def check(effect: Effect) -> None:
        amount = effect.amount_refunded or 0
        if amount and amount + earlier > limit:
            raise AboveLimit(amount, effect)

    return check


def is_many(context: Context, rows_count: int) -> bool:
    """Whether an action on this many rows needs a second person."""
    limit = context.settings.approval_bulk_above
    return bool(limit) and rows_count > limit


def ask(context: Context, order: Order, shown: Shown, person: Person, reason: str) -> UUID:
    """Store a request, once for its key, and return its id.

    Raises Changed when the subscription has changed since, or IllegalMove when the same action is
    waiting for approval already.
    """
    now = context.clock.now()
    _make_room(context, order)
    with context.database.transaction() as connection:
        customer_id, arguments = None, order.arguments
        if order.subscription_id is not None:
            confirming.lock(connection, order.subscription_id)
        made = rows.of_key(connection, order.key)
        if made is not None:
            return made
        if order.subscription_id is not None:
            confirming.check_seen(connection, order.subscription_id, shown.seen)
            customer_id = rows.customer_of(connection, order.subscription_id)
            assert shown.effect is not None  # noqa: S101 - it was measured to be above the limit
            base = approval_terms.standing(
                connection, order.kind, order.subscription_id, order.subject
            )
            arguments = {**arguments, TERMS: approval_terms.of(base, shown.effect)}
        ends_at = approval_terms.ends_at(
            arguments, shown.effect, now, context.settings.approval_hours
        )
        if ends_at <= now:
            raise Changed(confirming.CHANGED)
        approval_ends.expire_in(connection, now)
        new: rows.New = {
            "id": uuid4(), "key": order.key, "kind": order.kind, "subject": order.subject,
            "subscription_id": order.subscription_id, "customer_id": customer_id,
            "arguments": arguments, "amount": shown.amount, "rows_count": shown.rows_count,
            "seen": shown.seen, "basis": shown.basis, "reason": reason, "asked_by": person.id,
            "asked_at": now, "ends_at": ends_at,
        }  # fmt: skip
        if not rows.add(connection, new):
            made = rows.of_key(connection, order.key)
            if made is not None:
                return made
            raise IllegalMove("the same is waiting for approval already; see Approvals")
        found = rows.one(connection, new["id"])
        assert found is not None  # noqa: S101 - it was inserted above
        events.record(
            connection, [approval_ends.about("requested", found, now, Actor(person.name, reason))]
        )
    return found.id


def approve(context: Context, approval_id: UUID, person: Person, reason: str) -> Approval:
    """Do what was asked, in the name of who asked, once.

    Raises NotKnown, IllegalMove (own request, over, ended, a role was taken, access that is newer
    than the request), Changed when it would be something else than what was shown, or what the
    action raises.
    """
    found = _known(context, approval_id)
    if found.subscription_id is None:
        return _approve_rows(context, approval_id, person, reason)
    try:
        return _approve(context, found, found.subscription_id, person, reason)
    except Changed:
        _outdate(context, approval_id)
        raise


def _approve(
    context: Context, found: Approval, subscription_id: UUID, person: Person, reason: str
) -> Approval:
    now = context.clock.now()
    with context.database.transaction() as connection:
        confirming.lock(connection, subscription_id)
        row, asker, status = _checked(connection, found.id, ApprovalMove.APPROVE, person, now)
        if status is row.status:
            return row
        by = Actor(asker.name, row.reason, approved_by=person.name)
        base = approval_terms.standing(connection, row.kind, subscription_id, row.subject)
        terms = approval_terms.shown(row.arguments)
        if not approval_terms.is_based_on(terms, base):
            raise Changed(confirming.CHANGED)
        basis = Basis(
            pages.newest_event(connection, subscription_id),
            lambda effect: (
                effect is not None
                and approval_terms.is_same(terms, approval_terms.of(base, effect))
            ),
        )
        confirming.act_locked(
            context, connection, subscription_id, basis, _request(row), _act(row, by)
        )
        return _decide(connection, row, status, person, asker, reason, now)


def _approve_rows(
    context: Context, approval_id: UUID, person: Person, reason: str
) -> Approval:  # fmt: skip
    """Record the decision, then act on each row.

    A repeat by the same person continues what was interrupted, as long as it could be approved.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        row, asker, status = _checked(connection, approval_id, ApprovalMove.APPROVE, person, now)
        if status is not row.status:
            row = _decide(connection, row, status, person, asker, reason, now)
        elif not bulk.is_done(connection, row.key):
            again = approvals.Request(row.kind, ApprovalStatus.OPEN, row.asked_by, row.ends_at)
            approvals.check_decision(again, ApprovalMove.APPROVE, asker, person, now)
    by = Actor(asker.name, row.reason, approved_by=person.name)
    bulk.run(context, _order(row.arguments), by, row.key)
    return row


def now_of(context: Context, approval_id: UUID) -> tuple[Json, str]:
    """Return the terms that a request has now, or why its action is refused; nothing is done.

    It is outdated unless they are the ones that were shown.
    """
    row = _known(context, approval_id)
    assert row.subscription_id is not None  # noqa: S101 - the caller asks for no action in bulk
    subscription_id, base = row.subscription_id, None

    def act(inside: Context) -> None:
        nonlocal base
        with inside.database.transaction() as connection:
            base = approval_terms.standing(connection, row.kind, subscription_id, row.subject)
        _act(row, Actor(row.asked_by.hex, row.reason))(inside, None)

    try:
        effect = effects.preview(context, subscription_id, act)
    except BillingError as refused:
        return {}, refused.said
    return approval_terms.of(base, effect), ""


def _make_room(context: Context, order: Order) -> None:
    """End a waiting request of the same action that cannot be approved any more."""
    if order.subscription_id is None:
        return
    with context.database.transaction() as connection:
        waiting = rows.open_of(connection, order.subject, order.kind)
        row = None if waiting is None else rows.one(connection, waiting)
    if row is None or row.key == order.key:
        return
    found, _said = now_of(context, row.id)
    if not approval_terms.is_same(approval_terms.shown(row.arguments), found):
        _outdate(context, row.id)


def decline(context: Context, approval_id: UUID, person: Person, reason: str) -> Approval:
    """End another person's request; nothing is done. Raises NotKnown or IllegalMove."""
    return _end(context, approval_id, ApprovalMove.DECLINE, person, reason)


def withdraw(context: Context, approval_id: UUID, person: Person, reason: str) -> Approval:
    """End one's own request; nothing is done. Raises NotKnown or IllegalMove."""
    return _end(context, approval_id, ApprovalMove.WITHDRAW, person, reason)


def _end(
    context: Context, approval_id: UUID, move: ApprovalMove, person: Person, reason: str
) -> Approval:
    now = context.clock.now()
    with context.database.transaction() as connection:
        row, asker, status = _checked(connection, approval_id, move, person, now)
        if status is row.status:
            return row
        return _decide(connection, row, status, person, asker, reason, now)


def _outdate(context: Context, approval_id: UUID) -> None:
    """End a request for something that cannot happen any more."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = rows.lock(connection, approval_id)
        if row is None or row.status is not ApprovalStatus.OPEN:
            return
        status = approvals.advance(row.status, ApprovalMove.OUTDATE)
        rows.decide(connection, row.id, status, now, None, None)
        events.record(connection, [approval_ends.about(status.value, row, now, SCHEDULER)])


def _checked(
    connection: Connection, approval_id: UUID, move: ApprovalMove, person: Person, now: datetime
) -> tuple[Approval, Person, ApprovalStatus]:
    """Lock a request, and return it with who asked and its status after the decision.

    The status is that of the row when this person decided the same before: a double click.
    """
    row = rows.lock(connection, approval_id)
    if row is None:
        raise _unknown(approval_id)
    people = rows.people(connection, [row.asked_by, person.id])
    asker = people[row.asked_by]
    if row.decided_by == person.id and row.status is approvals.advance(ApprovalStatus.OPEN, move):
        return row, asker, row.status
    request = approvals.Request(row.kind, row.status, row.asked_by, row.ends_at)
    status = approvals.check_decision(request, move, asker, people[person.id], now)
    if move is ApprovalMove.APPROVE and rows.was_prepared(connection, row, person.id):
        raise IllegalMove(
            "you got your access, or another role, password or second factor, after this was asked;"
            " another person must approve it"
        )
    return row, asker, status


def _decide(
    connection: Connection,
    row: Approval,
    status: ApprovalStatus,
    person: Person,
    asker: Person,
    reason: str,
    now: datetime,
) -> Approval:
    rows.decide(connection, row.id, status, now, person.id, reason)
    by = Actor(person.name, reason)
    events.record(
        connection, [approval_ends.about(status.value, row, now, by, asked_by=asker.name)]
    )
    return row._replace(
        status=status, decided_by=person.id, decided_at=now, decision_reason=reason
    )  # fmt: skip


def _known(context: Context, approval_id: UUID) -> Approval:
    with context.database.transaction() as connection:
        found = rows.one(connection, approval_id)
    if found is None:
        raise _unknown(approval_id)
    return found


def _unknown(approval_id: UUID) -> NotKnown:
    return NotKnown(f"no request for approval has the id {approval_id}")


def _request(row: Approval) -> Request:
    """Return the command as a direct confirmation stores it: its key never acts twice."""
    given = {**approval_terms.given(row.arguments), "subject": row.subject, "reason": row.reason}
    return Request(row.key, f"{_TASK}{row.kind}", given)


def _act(row: Approval, by: Actor) -> Act:
    """Return the action of a request, as its page would run it."""
    given, subject = row.arguments, UUID(row.subject)

    def refund(context: Context, request: Request | None) -> object:
        amount = given["amount"]
        wanted = None if amount is None else int(str(amount))
        return refunding.refund_invoice(context, subject, wanted, by, request)

    def cancel(context: Context, request: Request | None) -> object:
        return canceling.cancel(
            context, subject, by, at=str(given["when"]),
            refund=RefundPolicy(str(given["refund"])), unlink=given["unlink"] is True,
            request=request,
        )  # fmt: skip

    return refund if row.kind is Approvable.REFUND else cancel


def arguments_of(order: bulk.Order) -> Json:
    """Return an action in bulk as it is stored."""
    chosen = [[str(each.id), each.customer, each.amount] for each in order.rows]
    return {
        "deed": order.deed.value,
        "kind": order.kind.value,
        "cause": order.cause,
        "rows": chosen,
    }


def _order(given: Json) -> bulk.Order:
    chosen = given["rows"]
    assert isinstance(chosen, list)  # noqa: S101 - `arguments_of` made it
    return bulk.Order(
        Deed(str(given["deed"])), Kind(str(given["kind"])), str(given["cause"]),
        [bulk.Row(UUID(row_id), customer, amount) for row_id, customer, amount in chosen],
    )  # fmt: skip
