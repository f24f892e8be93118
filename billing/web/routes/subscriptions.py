"""`/v1/subscriptions`: subscribe, change, pause, resume, cancel, and what each would cost."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from billing.domain.api_keys import Scope
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, extra_lines
from billing.services.reading import forecasting, read_models, results
from billing.services.subscriptions import canceling, changing, pausing, previewing, subscribing
from billing.web import answers, bodies, deeds, queries
from billing.web.access import Caller, Reader, Writer
from billing.web.deeds import Key, RequiredKey
from billing.web.problems import Refused
from billing.web.routes.common import refusals
from billing.web.schemas import model_of, page_of

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])
YEAR = timedelta(days=366)
SUBSCRIPTION = model_of(results.Subscription)
PREVIEW = model_of(previewing.Preview)


@router.post(
    "", response_model=SUBSCRIPTION, status_code=201, responses=refusals(404, 409, body=True),
    operation_id="create_subscription",
)  # fmt: skip
def create(body: bodies.SubscriptionBody, caller: Writer, key: RequiredKey) -> Response:
    """Subscribe a customer to a plan; the first charge is made once a wallet is linked."""
    deed = deeds.of(caller, key, "subscriptions.create", body)
    made = deed.do(
        lambda context: subscribing.subscribe(
            context, body.customer, body.plan, caller.actor(body.reason), start=body.start,
            quantity=body.quantity, amount=body.amount, coupon=body.coupon,
            setup_fee=body.setup_fee, backdate=body.backdate, again=body.again,
            request=deed.request,
        )
    )  # fmt: skip
    return _show(caller, UUID(made["id"]), 201)


@router.get(
    "/{subscription_id}", response_model=SUBSCRIPTION, responses=refusals(404),
    operation_id="get_subscription",
)  # fmt: skip
def show(subscription_id: UUID, caller: Reader) -> Response:
    """Show a subscription with its invoices, their charges and refunds."""
    return _show(caller, subscription_id)


@router.get(
    "/{subscription_id}/upcoming", response_model=page_of(results.ForecastLine, "UpcomingCharge"),
    responses=refusals(404), operation_id="list_upcoming",
)  # fmt: skip
def upcoming(
    subscription_id: UUID, caller: Reader, query: Annotated[queries.Upcoming, Query()]
) -> Response:
    """Compute the next charges with their amounts, as if each of them succeeded; at most 100."""
    now = caller.context.clock.now()
    until = now + YEAR if query.until is None else query.until
    lines = forecasting.upcoming(caller.context.database, now, until, subscription_id)
    return answers.page(lines, None)


@router.post(
    "/{subscription_id}/cancel", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="cancel_subscription",
)  # fmt: skip
def cancel(
    subscription_id: UUID, body: bodies.CancelBody, caller: Writer, key: RequiredKey
) -> Response:
    """Cancel now, at the end of the period, or at an instant; refund and unlink as asked."""
    if body.refund is not RefundPolicy.NONE and not caller.key.allows(Scope.REFUND):
        raise Refused(403, "forbidden", "this key has no scope refund: cancel with refund none")
    deed = deeds.of(caller, key, "subscriptions.cancel", body, subscription=subscription_id)
    deed.do(
        lambda context: canceling.cancel(
            context, subscription_id, caller.actor(body.reason), at=body.at, refund=body.refund,
            unlink=body.unlink, request=deed.request,
        )
    )  # fmt: skip
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/withdraw-cancel", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="withdraw_cancel",
)  # fmt: skip
def withdraw_cancel(
    subscription_id: UUID, caller: Writer, body: bodies.ActBody | None = None, key: Key = None
) -> Response:
    """Withdraw a planned cancellation."""
    wanted = body or bodies.ActBody()
    deed = deeds.of(caller, key, "subscriptions.withdraw", wanted, subscription=subscription_id)
    by = caller.actor(wanted.reason)
    deed.once(lambda context: canceling.withdraw(context, subscription_id, by))
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/pause", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="pause_subscription",
)  # fmt: skip
def pause(
    subscription_id: UUID, caller: Writer, body: bodies.PauseBody | None = None, key: Key = None
) -> Response:
    """Open no period for a time; open invoices stay owed."""
    wanted = body or bodies.PauseBody()
    deed = deeds.of(caller, key, "subscriptions.pause", wanted, subscription=subscription_id)
    deed.do(
        lambda context: pausing.pause(
            context, subscription_id, caller.actor(wanted.reason), at=wanted.at,
            until=wanted.resume_at, request=deed.request,
        )
    )  # fmt: skip
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/resume", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="resume_subscription",
)  # fmt: skip
def resume(
    subscription_id: UUID, caller: Writer, body: bodies.ResumeBody | None = None, key: Key = None
) -> Response:
    """Resume with the original schedule, or with a new period from now; or withdraw a pause."""
    wanted = body or bodies.ResumeBody()
    deed = deeds.of(caller, key, "subscriptions.resume", wanted, subscription=subscription_id)
    deed.do(
        lambda context: pausing.resume(
            context, subscription_id, caller.actor(wanted.reason), start=wanted.start,
            request=deed.request,
        )
    )  # fmt: skip
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/change", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="change_subscription",
)  # fmt: skip
def change(
    subscription_id: UUID, body: bodies.ChangeBody, caller: Writer, key: RequiredKey
) -> Response:
    """Change plan, quantity or price, now with proration, or at the end of the period."""
    deed = deeds.of(caller, key, "subscriptions.change", body, subscription=subscription_id)
    deed.do(
        lambda context: changing.change(
            context, subscription_id, caller.actor(body.reason), plan_code=body.plan,
            quantity=body.quantity, amount=body.amount, at=body.at, request=deed.request,
        )
    )  # fmt: skip
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/extras", response_model=SUBSCRIPTION, status_code=201,
    responses=refusals(404, 409, body=True), operation_id="add_extra",
)  # fmt: skip
def add_extra(
    subscription_id: UUID, body: bodies.ExtraBody, caller: Writer, key: RequiredKey
) -> Response:
    """Add an extra line to the next invoice."""
    deed = deeds.of(caller, key, "extras.create", body, subscription=subscription_id)
    by = caller.actor(body.reason)
    deed.once(
        lambda context: extra_lines.add(context, subscription_id, body.title, body.amount, by)
    )
    return _show(caller, subscription_id, 201)


@router.post(
    "/{subscription_id}/coupon", response_model=SUBSCRIPTION,
    responses=refusals(404, 409, body=True), operation_id="apply_coupon",
)  # fmt: skip
def apply_coupon(
    subscription_id: UUID, body: bodies.ApplyCouponBody, caller: Writer, key: RequiredKey
) -> Response:
    """Apply a coupon from the next invoice, instead of another; a second time nothing changes."""
    deed = deeds.of(caller, key, "coupons.apply", body, subscription=subscription_id)
    by = caller.actor(body.reason)
    deed.once(lambda context: coupons.apply(context, body.code, subscription_id, by))
    return _show(caller, subscription_id)


@router.post(
    "/{subscription_id}/preview", response_model=PREVIEW,
    responses=refusals(404, 409, body=True), operation_id="preview_subscription",
)  # fmt: skip
def preview(subscription_id: UUID, body: bodies.PreviewBody, caller: Reader) -> Response:
    """Say what a cancellation or a change would charge, credit and refund; nothing is written."""
    by = caller.actor()
    if body.action == "cancel":
        found = previewing.cancel(
            caller.context, subscription_id, by, at=body.at, refund=body.refund,
            unlink=body.unlink,
        )  # fmt: skip
    else:
        found = previewing.change(
            caller.context, subscription_id, by, plan_code=body.plan, quantity=body.quantity,
            amount=body.amount, at=str(body.at),
        )  # fmt: skip
    return answers.one(found)


def _show(caller: Caller, subscription_id: UUID, status: int = 200) -> Response:
    return answers.one(read_models.subscription(caller.context.database, subscription_id), status)
