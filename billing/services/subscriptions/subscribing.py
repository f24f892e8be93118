"""Subscribing: create plans, customers and subscriptions."""

from datetime import datetime
from difflib import get_close_matches
from typing import Required, TypedDict
from uuid import UUID, uuid4

from sqlalchemy import Connection

from billing.domain import backdating, dunning, pricing
from billing.domain.backdating import AtOnce
from billing.domain.errors import AlreadyExists, FieldFault, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.identity import dated
from billing.domain.instants import spoken
from billing.domain.money import checked_amount
from billing.domain.payloads import Json
from billing.domain.periods import Beginning, begin, zone
from billing.domain.subscription import CatchUp, OnExhausted
from billing.domain.text import checked_id, checked_name, indonesian_phone
from billing.domain.waiting import WALLET
from billing.domain.wallet import WalletStatus
from billing.services.context import Context, Request, derived_id, once
from billing.services.money import coupons, extra_lines
from billing.services.operating import customers, token_keys
from billing.services.subscriptions import starting
from billing.store.queries import catalog, events, subscriptions, wallets
from billing.store.queries.catalog import NewCustomer, Plan
from billing.store.queries.subscription_rows import NewSubscription
from schedules.calendar import check_cron
from schedules.durations import plain_notice
from schedules.walltime import ScheduleError, parse_timezone, place

ID_MAX, NAME_MAX, PHONE_MAX, EMAIL_MAX = 50, 50, 20, 255
"""The shortest lengths that DOKU's pages give for the customer's fields."""
COUNT_MAX = 1_000_000
"""A larger number of periods or quantity is a typing error."""


def create_plan(
    context: Context,
    code: str,
    *,
    amount: int,
    by: Actor,
    every: str | None = None,
    cron: str | None = None,
    name: str | None = None,
    timezone: str = "Asia/Jakarta",
    trial: str | None = None,
    cycles: int | None = None,
    notice: str | None = None,
    retries: str = dunning.DEFAULT_RETRIES,
    retries_for: dunning.Ladders | None = None,
    declines_max: int | None = None,
    attempts_max: int | None = None,
    days_max: int | None = None,
    on_exhausted: OnExhausted = OnExhausted.CANCEL,
    catch_up: CatchUp = CatchUp.ALL,
    use_points: bool = False,
) -> None:
    """Create a plan. `amount` is whole rupiah per period, `notice` the time before a charge.

    Raises InvalidValue or AlreadyExists.
    """
    checked_id("plan code", code, ID_MAX, field="code")
    checked_amount(amount)
    if (every is None) == (cron is None):
        said = 'a plan has either every ("1 month") or cron ("0 9 1 * *")'
        raise InvalidValue(said, field="every")
    if cycles is not None and not 1 <= cycles <= COUNT_MAX:
        raise InvalidValue(f"cycles must be 1 to {COUNT_MAX:,}, not {cycles:,}", field="cycles")
    ladders = dict(retries_for or {})
    dunning.policy_of(dunning.RetryTerms(retries, ladders, declines_max, attempts_max, days_max))
    now = context.clock.now()
    field = "timezone"
    try:
        parse_timezone(timezone)
        field = "notice"
        plan = Plan(
            code, name or code, amount, every, cron, timezone, trial, cycles,
            None if notice is None else plain_notice(notice), retries, ladders, declines_max,
            attempts_max, days_max, OnExhausted(on_exhausted), CatchUp(catch_up), use_points,
            created_at=now, archived_at=None,
        )  # fmt: skip
        field = "every"
        if cron is not None:
            field = "cron"
            check_cron(cron)
        begin(plan, now)
    except ScheduleError as error:
        raise InvalidValue(str(error), field=field) from None
    checked_name("plan name", plan.name, NAME_MAX, field="name")
    with context.database.transaction() as connection:
        if not catalog.add_plan(connection, plan):
            raise AlreadyExists(f"a plan with the code {code!r} exists; plans are never changed")
        events.record(connection, [event("plan.created", at=now, by=by, plan=code, amount=amount)])


def archive_plan(context: Context, code: str, by: Actor) -> None:
    """Archive a plan; its subscriptions continue."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        known_plan(connection, code)
        if catalog.archive_plan(connection, code, now):
            events.record(connection, [event("plan.archived", at=now, by=by, plan=code)])


def create_customer(
    context: Context, customer_id: str, *, name: str, by: Actor, phone: str = "", email: str = ""
) -> None:
    """Create a customer. Raises InvalidValue, AlreadyExists or IllegalMove (was erased)."""
    phone = indonesian_phone(phone)
    check_customer(customer_id, name, phone, email)
    now = context.clock.now()
    new = NewCustomer(customer_id, name, phone, email, now)
    with context.database.transaction() as connection:
        if not catalog.add_customer(connection, new):
            customers.check(connection, customer_id)
            raise AlreadyExists(f"a customer with the id {customer_id!r} exists")
        events.record(
            connection, [event("customer.created", at=now, by=by, customer_id=customer_id)]
        )


def update_customer(
    context: Context, customer_id: str, *, name: str, by: Actor, phone: str = "", email: str = ""
) -> None:
    """Replace a customer's name, phone and e-mail.

    Raises InvalidValue, NotKnown or IllegalMove (erased).
    """
    phone = indonesian_phone(phone)
    check_customer(customer_id, name, phone, email)
    now = context.clock.now()
    wanted = catalog.Customer(customer_id, name, phone, email)
    with context.database.transaction() as connection:
        customers.lock(connection, customer_id)
        earlier = catalog.customer(connection, customer_id)
        if earlier == wanted:
            return
        catalog.change_customer(connection, wanted)
        # The values are personal data: an event says only which of them changed.
        changed = [
            field for field in wanted._fields if getattr(earlier, field) != getattr(wanted, field)
        ]
        recorded = event(
            "customer.updated", at=now, by=by, customer_id=customer_id, changed=changed
        )
        events.record(connection, [recorded])


def check_customer(customer_id: str, name: str, phone: str, email: str) -> None:
    """Raise InvalidValue with every error, unless the gateway accepts these values."""
    faults = list[FieldFault]()
    try:
        checked_id("customer id", customer_id, ID_MAX, field="customer_id")
    except InvalidValue as wrong:
        faults += wrong.faults
    try:
        checked_name("name", name, NAME_MAX, field="name")
    except InvalidValue as wrong:
        faults += wrong.faults
    if phone and not (phone.isascii() and phone.isdigit() and len(phone) <= PHONE_MAX):
        faults.append(FieldFault("phone", f"phone must be digits only, at most {PHONE_MAX}"))
    if email and ("@" not in email or len(email) > EMAIL_MAX or not email.isprintable()):
        said = f"e-mail must have an @ and at most {EMAIL_MAX} printable characters"
        faults.append(FieldFault("email", said))
    if faults:
        raise InvalidValue("; ".join(each.said for each in faults), faults=tuple(faults))


def known_plan(connection: Connection, code: str) -> Plan:
    """Return the plan with this code, or raise NotKnown with a suggestion."""
    plan = catalog.plan(connection, code)
    if plan is None:
        near = get_close_matches(code, catalog.near_codes(connection), n=1)
        like = f"; did you mean {near[0]!r}?" if near else ""
        said = f"no plan has the code {code!r}{like}"
        raise NotKnown(said, field="plan", hint="" if near else "see: billing plan list")
    return plan


def check_quantity(quantity: int) -> None:
    """Raise InvalidValue unless the quantity is plausible."""
    if not 1 <= quantity <= COUNT_MAX:
        said = f"quantity must be 1 to {COUNT_MAX:,}, not {quantity:,}"
        raise InvalidValue(said, field="quantity")


class ChargedNow(TypedDict):
    """The number of begun periods, the rupiah of their invoices, and whether more follow."""

    periods: int
    amount: int
    more: bool


class Subscribed(TypedDict, total=False):
    """The answer to subscribing: the id, what is charged now, and what the first charge waits for.

    A command that is repeated after its key was lost gets the id only.
    """

    id: Required[str]
    charged_now: ChargedNow
    waits_for: str | None


def subscribe(
    context: Context,
    customer_id: str,
    plan_code: str,
    by: Actor,
    *,
    start: datetime | None = None,
    local_start: datetime | None = None,
    quantity: int = 1,
    amount: int | None = None,
    coupon: str | None = None,
    setup_fee: int | None = None,
    backdate: bool = False,
    again: bool | None = None,
    request: Request | None = None,
) -> Subscribed:
    """Subscribe a customer to a plan; it starts now or at `start`, once a wallet is linked.

    `start` is an instant, `local_start` a naive wall time in the plan's timezone. `backdate`
    accepts a start further back than BILLING_BACKDATE_DAYS_MAX, and keeps it when the wallet is
    linked later; otherwise the time before the link is not billed. `amount` is the price of a
    period instead of the plan's amount times the quantity; the setup fee is a line of the first
    invoice. A customer who has the plan already gets a second subscription only with `again`; when
    that is None, also by a separate request.

    Raises NotKnown, IllegalMove (archived plan, exhausted coupon, erased customer), AlreadyExists
    or InvalidValue.
    """
    check_quantity(quantity)

    def act(connection: Connection, now: datetime) -> Subscribed:
        derived = derived_id(connection, request)
        if derived is not None and subscriptions.is_created(connection, derived):
            return {"id": str(derived)}
        plan = _offered(connection, plan_code)
        customers.lock(connection, customer_id)
        if again is False or (again is None and request is None):
            _check_first(connection, customer_id, plan_code)
        cost = checked_amount(
            plan.amount * quantity if amount is None else amount, "the amount of a period"
        )
        extras = []
        if setup_fee is not None:
            extras.append(extra_lines.build("setup fee", setup_fee))
            pricing.check_largest((cost,), extras)
        start_at, begins = _beginning(plan, start, local_start, now)
        known = coupons.known(connection, coupon) if coupon is not None else None
        reduced = None if known is None else known.reduction
        new = backdating.beginning(plan.terms, begins, cost, extras=extras, coupon=reduced)
        would = backdating.at_once(new, now)
        backdated = _check_start(context, start_at, now, would, backdate=backdate)
        subscription_id = derived or dated(now, uuid4())
        added = NewSubscription(
            subscription_id, customer_id, plan_code, quantity, cost, extras,
            start_at=start_at, start_local=local_start, notice_for=plan.notice_for, created_at=now,
        )  # fmt: skip
        subscriptions.add(connection, added)
        recorded = event(
            "subscription.created", at=now, by=by, customer_id=customer_id,
            subscription_id=subscription_id, plan=plan_code, amount=cost, data=backdated,
        )  # fmt: skip
        events.record(connection, [recorded])
        if coupon is not None:
            coupons.redeem(connection, coupon, customer_id, subscription_id, by, now)
        linked = _begin_if_linked(context, connection, customer_id, subscription_id, now, by)
        return _answer(subscription_id, would, linked=linked)

    return once(context, request, act)


def _offered(connection: Connection, code: str) -> Plan:
    plan = known_plan(connection, code)
    if plan.archived_at is not None:
        raise IllegalMove(f"plan {code!r} is archived; choose another one")
    return plan


def _beginning(
    plan: Plan, start: datetime | None, local: datetime | None, now: datetime
) -> tuple[datetime | None, Beginning]:
    """Return the requested start, if any, and the columns with which the subscription begins."""
    if start is not None and start.tzinfo is None:
        raise InvalidValue(f"start: {spoken(start)} needs an offset, such as +07:00", field="start")
    try:
        start_at = start if local is None else place(local, zone(plan.timezone))
        return start_at, begin(plan, local or start or now)
    except (ScheduleError, OverflowError) as error:
        raise InvalidValue(f"start: {error}", field="start") from None


def _check_first(connection: Connection, customer_id: str, plan_code: str) -> None:
    """Raise AlreadyExists when the customer has a live subscription to this plan.

    The caller holds the customer's lock, so the second of two simultaneous requests sees the first.
    """
    live = subscriptions.live_to_plan(connection, customer_id, plan_code)
    if live:
        known = ", ".join(f"{row.id} ({row.status})" for row in live)
        raise AlreadyExists(
            f"customer {customer_id!r} has a subscription to plan {plan_code!r} already: {known};"
            " another one is made only with `again`",
            field="again",
            hint="--again",
        )


def _check_start(
    context: Context, start_at: datetime | None, now: datetime, would: AtOnce, *, backdate: bool
) -> Json:
    """Refuse a start too far back unless backdated; return what to record of it."""
    if start_at is None or start_at >= now:
        return {}
    why = backdating.refusal("start", start_at, now, context.settings.backdate_days_max, would)
    if why is not None and not backdate:
        raise why
    if not backdate:
        return {}
    return {"backdated_to": start_at.isoformat(), "charged_now": would._asdict()}


def _answer(subscription_id: UUID, would: AtOnce, *, linked: bool) -> Subscribed:
    """Return what is charged now, and what the first charge waits for."""
    due = would if linked else backdating.NOTHING
    return {
        "id": str(subscription_id),
        "charged_now": {"periods": due.periods, "amount": due.amount, "more": due.more},
        "waits_for": None if linked else WALLET,
    }


def _begin_if_linked(
    context: Context, connection: Connection, customer_id: str, subscription_id: UUID,
    now: datetime, by: Actor,
) -> bool:  # fmt: skip
    """Start the subscription if there is a wallet, and return whether it can be charged."""
    wallets.keep(connection, customer_id)
    live = wallets.live_of(connection, customer_id)
    if live is None or live.status is not WalletStatus.ACTIVE or live.token_sealed is None:
        return False
    row = subscriptions.lock_one(connection, subscription_id)
    if row is not None:
        starting.start(connection, row, now, by)
    return live.is_linked(now) and token_keys.opens(context, live.token_sealed)
