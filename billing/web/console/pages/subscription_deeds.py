"""What a person can do with a subscription, each with a preview of the money and the days."""

from dataclasses import dataclass
from uuid import UUID

from starlette.responses import Response

from billing.domain.approvals import Approvable
from billing.domain.events import Actor
from billing.domain.filters import CatalogStatus, PlanFilter
from billing.domain.paging import Page
from billing.domain.people import Action
from billing.domain.subscription import RefundPolicy, check_refund
from billing.services.context import Context, Request
from billing.services.money import coupons, extra_lines
from billing.services.operating import confirming
from billing.services.reading import lists, subscription_page
from billing.services.reading.effects import Effect
from billing.services.subscriptions import canceling, changing, pausing, previewing
from billing.store.queries.listing_rows import Subscription
from billing.web.console import deeds
from billing.web.console.deeds import Deed, Subject
from billing.web.console.forms import Field, Form, Values
from billing.web.console.labels import N_
from billing.web.console.pages import subscription
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import Stopped, Visit

PLANS_MAX = 200
"""Codes of plans that the browser offers."""
NOW, PERIOD_END = canceling.NOW, canceling.PERIOD_END
_WHEN = Field(
    "at", N_("When"), "choice",
    ((NOW, N_("Now")), (PERIOD_END, N_("At the end of the period"))), value=NOW,
)  # fmt: skip
CANCEL = Form(
    "cancel", N_("Cancel the subscription"), N_("Cancel the subscription"),
    N_("No period opens after the end, and open invoices are void then."),
    (
        _WHEN,
        Field("refund", N_("Refund of the current period"), "choice",
              ((RefundPolicy.NONE, N_("None")), (RefundPolicy.PRORATED, N_("The unused days")),
               (RefundPolicy.FULL, N_("The whole period"))), value=RefundPolicy.NONE),
        Field("unlink", N_("Unlink the wallet, unless another subscription uses it"), "check"),
    ),
    danger=True,
)  # fmt: skip
_UNLINKED = N_("The wallet is unlinked once no charge, refund or other subscription needs it.")
WITHDRAW = Form(
    "withdraw-cancel",
    N_("Withdraw the cancellation"),
    N_("Withdraw the cancellation"),
    N_("The subscription goes on as if its cancellation had not been planned."),
)
PAUSE = Form(
    "pause", N_("Pause"), N_("Pause"),
    N_("No period opens during the pause. Open invoices stay owed; paid days are not refunded."),
    (
        _WHEN,
        Field("resume_at", N_("Resume on"), "instant",
              hint=N_("Empty: until a person resumes it. The time is in your zone.")),
    ),
)  # fmt: skip
RESUME = Form(
    "resume", N_("Resume"), N_("Resume"),
    N_("A pause that is planned and has not begun is withdrawn."),
    (
        Field("start", N_("The next period begins"), "choice",
              ((pausing.ANCHOR, N_("On the original schedule")),
               (pausing.NOW, N_("Now, and is charged now"))), value=pausing.ANCHOR),
    ),
)  # fmt: skip
CHANGE = Form(
    "change", N_("Change"), N_("Change"),
    N_("What is left empty stays. Now: the unused days become credit, and a higher price is charged"
       " for the rest of the period."),
    (
        Field("plan", N_("Plan")),
        Field("quantity", N_("Quantity"), "count"),
        Field("amount", N_("Amount per period in rupiah"), "amount",
              hint=N_("Empty: the plan's price.")),
        _WHEN,
    ),
)  # fmt: skip
COUPON = Form(
    "coupon",
    N_("Coupon"),
    N_("Apply the coupon"),
    N_("It counts from the next invoice, instead of the coupon that the subscription has now."),
    (Field("coupon", N_("Code of the coupon"), required=True),),
)
EXTRA = Form(
    "extra",
    N_("Extra line"),
    N_("Add the line"),
    N_("It is added to the next invoice only, and charged with it."),
    (
        Field("title", N_("What it is for"), required=True),
        Field("amount", N_("Amount in rupiah"), "amount", required=True),
    ),
)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """The subscription of an action."""

    id: UUID
    row: Subscription
    subject: Subject

    @classmethod
    def of(cls, visit: Visit) -> "_Subscription":
        """Read it. Raises NotKnown."""
        subscription_id = id_of(visit, "subscription_id")
        row = subscription_page.row_of(visit.context, subscription_id)

        def refused(visit: Visit, said: str) -> Response:
            found = subscription_page.read(visit.context, subscription_id)
            return subscription.page(visit, found, said)

        place, title = f"/subscriptions/{subscription_id}", f"{row.plan} · {row.customer}"
        return cls(subscription_id, row, Subject(place, title, subscription_id, refused))


def cancel(visit: Visit) -> Response:
    """Cancel now or at the end of the period; who may not refund cannot choose one."""
    of = _Subscription.of(visit)
    assert visit.person is not None  # noqa: S101 - the route needs an action
    may_refund = visit.person.may(Action.REFUND)
    form = CANCEL if may_refund else CANCEL.without("refund")
    if not may_refund and visit.form.get("refund", RefundPolicy.NONE) != RefundPolicy.NONE:
        raise Stopped(403, "not_allowed")

    def read(values: Values, by: Actor) -> Deed:
        at, unlink = values.choice(form, "at"), values.is_checked("unlink")
        policy = RefundPolicy(values.choice(form, "refund")) if may_refund else RefundPolicy.NONE
        check_refund(at, policy)

        def act(context: Context, request: Request | None) -> object:
            return canceling.cancel(
                context, of.id, by, at=at, refund=policy, unlink=unlink, request=request
            )

        def preview() -> Effect:
            then = previewing.cancel(
                visit.context, of.id, by, at=at, refund=policy, unlink=unlink
            )  # fmt: skip
            found = deeds.previewed(visit, of.subject, act)()
            return found._replace(
                amount_charged=then.amount_charged, amount_refunded=then.amount_refunded,
                amount_credited=then.amount_credited, amount_voided=then.amount_voided,
                invoices_voided_count=then.invoices_voided_count, measured=found,
            )  # fmt: skip

        says = _UNLINKED if unlink else ""
        return Deed(
            {"when": at, "refund": policy, "unlink": unlink}, act, preview, says=says,
            approvable=Approvable.CANCEL,
        )  # fmt: skip

    return deeds.answer(visit, form, of.subject, read)


def withdraw_cancel(visit: Visit) -> Response:
    """Withdraw a planned cancellation."""
    of = _Subscription.of(visit)

    def read(_values: Values, by: Actor) -> Deed:
        def act(context: Context, _request: Request | None) -> object:
            return canceling.withdraw(context, of.id, by)

        return _unkeyed(visit, of, act, {})

    return deeds.answer(visit, WITHDRAW, of.subject, read)


def pause(visit: Visit) -> Response:
    """Pause now or at the end of the period, until a date or until a person resumes it."""
    of = _Subscription.of(visit)

    def read(values: Values, by: Actor) -> Deed:
        at, until = values.choice(PAUSE, "at"), values.instant("resume_at")

        def act(context: Context, request: Request | None) -> object:
            return pausing.pause(context, of.id, by, at=at, until=until, request=request)

        given = {"when": at, "until": until.isoformat() if until else None}
        return Deed(given, act, deeds.previewed(visit, of.subject, act))

    return deeds.answer(visit, PAUSE, of.subject, read)


def resume(visit: Visit) -> Response:
    """Resume, or withdraw a planned pause."""
    of = _Subscription.of(visit)

    def read(values: Values, by: Actor) -> Deed:
        start = values.choice(RESUME, "start")

        def act(context: Context, request: Request | None) -> object:
            return pausing.resume(context, of.id, by, start=start, request=request)

        return Deed({"start": start}, act, deeds.previewed(visit, of.subject, act))

    return deeds.answer(visit, RESUME, of.subject, read)


def change(visit: Visit) -> Response:
    """Change plan, quantity or amount, now or at the end of the period."""
    of = _Subscription.of(visit)
    wanted = PlanFilter(status=CatalogStatus.ACTIVE)
    codes = [
        each.code for each in lists.plans(visit.context.database, wanted, Page(PLANS_MAX)).rows
    ]
    form = CHANGE.with_field("plan", value=of.row.plan, known=tuple(codes))
    form = form.with_field("quantity", value=str(of.row.quantity))

    def read(values: Values, by: Actor) -> Deed:
        plan, at = values.optional("plan", "the plan"), values.choice(form, "at")
        quantity, amount = values.count("quantity"), values.amount("amount")

        def act(context: Context, request: Request | None) -> object:
            return changing.change(
                context, of.id, by, plan_code=plan, quantity=quantity, amount=amount, at=at,
                request=request,
            )  # fmt: skip

        given = {"when": at, "plan": plan, "quantity": quantity, "amount": amount}
        return Deed(given, act, deeds.previewed(visit, of.subject, act))

    return deeds.answer(visit, form, of.subject, read)


def coupon(visit: Visit) -> Response:
    """Apply a coupon from the next invoice."""
    of = _Subscription.of(visit)

    def read(values: Values, by: Actor) -> Deed:
        code = values.text("coupon", "the code")

        def act(context: Context, _request: Request | None) -> object:
            coupons.apply(context, code, of.id, by)
            return None

        return _unkeyed(visit, of, act, {"coupon": code})

    return deeds.answer(visit, COUPON, of.subject, read)


def extra(visit: Visit) -> Response:
    """Add an extra line to the next invoice."""
    of = _Subscription.of(visit)

    def read(values: Values, by: Actor) -> Deed:
        title, amount = values.text("title", "what it is for"), values.amount("amount")
        line = extra_lines.build(title, amount or 0)

        def act(context: Context, _request: Request | None) -> object:
            extra_lines.add(context, of.id, title, line["amount"], by)
            return None

        return _unkeyed(visit, of, act, {"title": title, "amount": amount})

    return deeds.answer(visit, EXTRA, of.subject, read)


def _unkeyed(
    visit: Visit, of: _Subscription, act: confirming.Act, arguments: dict[str, object]
) -> Deed:
    """Return the deed of a service that knows no idempotency keys."""
    seen = deeds.previewed(visit, of.subject, act)
    return Deed(arguments, act, seen, confirming.act_once_with_key)
