"""`/v1/plans` and `/v1/coupons`."""

from fastapi import APIRouter
from starlette.responses import Response

from billing.domain.dunning import DEFAULT_RETRIES
from billing.domain.errors import AlreadyExists
from billing.services.money import coupons
from billing.services.reading import catalog
from billing.services.subscriptions import subscribing
from billing.store.queries import listing_rows
from billing.store.queries.coupons import Coupon
from billing.web import answers, bodies, deeds
from billing.web.access import Reader, Writer
from billing.web.deeds import Key
from billing.web.routes.common import PlanCode, created, refusals
from billing.web.schemas import model_of
from schedules.durations import plain_notice

router = APIRouter(prefix="/v1", tags=["plans and coupons"])
PLAN, COUPON = model_of(listing_rows.Plan, "Plan"), model_of(Coupon)


@router.put(
    "/plans/{code}", response_model=PLAN, responses=created(PLAN) | refusals(404, 409, body=True),
    operation_id="put_plan",
)  # fmt: skip
def put_plan(code: PlanCode, body: bodies.PlanBody, caller: Writer) -> Response:
    """Create a plan. A second PUT with the same values changes nothing; with others it is 409."""
    given = body.model_dump(exclude_unset=True, exclude={"reason"})
    try:
        subscribing.create_plan(caller.context, code, by=caller.actor(body.reason), **given)
    except AlreadyExists:
        found = catalog.plan(caller.context.database, code)
        defaults = {"name": code, "retries": DEFAULT_RETRIES, "retries_for": {}}
        for name, value in body.model_dump(exclude={"reason"}).items():
            wanted = plain_notice(value) if name == "notice" and value is not None else value
            if getattr(found, name) != (defaults.get(name) if wanted is None else wanted):
                raise
        return answers.one(found)
    return answers.one(catalog.plan(caller.context.database, code), 201)


@router.get("/plans/{code}", response_model=PLAN, responses=refusals(404), operation_id="get_plan")
def plan(code: PlanCode, caller: Reader) -> Response:
    """Show a plan."""
    return answers.one(catalog.plan(caller.context.database, code))


@router.post(
    "/plans/{code}/archive", response_model=PLAN, responses=refusals(404, body=True),
    operation_id="archive_plan",
)  # fmt: skip
def archive_plan(code: PlanCode, caller: Writer, body: bodies.ActBody | None = None) -> Response:
    """Archive a plan; its subscriptions continue. A second time nothing changes."""
    reason = body.reason if body else None
    subscribing.archive_plan(caller.context, code, caller.actor(reason))
    return answers.one(catalog.plan(caller.context.database, code))


@router.post(
    "/coupons", response_model=COUPON, status_code=201, responses=refusals(409, body=True),
    operation_id="create_coupon",
)  # fmt: skip
def create_coupon(body: bodies.CouponBody, caller: Writer, key: Key = None) -> Response:
    """Create a coupon. A coupon never changes."""
    deed = deeds.of(caller, key, "coupons.create", body)
    deed.once(
        lambda context: coupons.create(
            context, body.code, caller.actor(body.reason), percent=body.percent,
            rupiah_off=body.amount, cycles=body.cycles, redeemed_max=body.redemptions_max,
        )
    )  # fmt: skip
    return answers.one(catalog.coupon(caller.context.database, body.code), 201)
