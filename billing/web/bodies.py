"""Bodies: what the HTTP interface accepts, field by field.

Types are strict: `true` is not 1, `"5"` is not a number, and a name that is not known is refused
with the names that are. What a value means is decided by the services.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from billing.domain import instants
from billing.domain.escaping import escape
from billing.domain.money import MAX_AMOUNT
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy

TEXT_MAX = 255
COUNT_MAX = 1_000_000


def _instant(value: object) -> datetime:
    found = instants.read(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "it must be an instant with an offset, such as 2026-01-31T09:00:00+07:00 (in a URL,"
            " write %2B instead of +)"
        )
    return found


def _when(value: object) -> object:
    if isinstance(value, str) and value in {"now", "period-end"}:
        return value
    found = instants.read(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "it must be now, period-end, or an instant with an offset, such as"
            " 2026-01-31T09:00:00+07:00"
        )
    return found


def _printable(value: str | None) -> str | None:
    if value is not None and escape(value, keep="\n\t") != value:
        raise ValueError("it has characters that are not printable")
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-31T09:00:00+07:00"]}
    ),
]
When = Annotated[
    Literal["now", "period-end"] | datetime,
    BeforeValidator(_when),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "enum": ["now", "period-end"]},
                   {"type": "string", "format": "date-time"}],
         "default": "now"}
    ),
]  # fmt: skip
Text = Annotated[StrictStr, Field(min_length=1, max_length=TEXT_MAX)]
OptionalText = Annotated[StrictStr, Field(max_length=TEXT_MAX)]
Amount = Annotated[
    StrictInt, Field(ge=1, le=MAX_AMOUNT, description="Whole rupiah", examples=[50_000])
]
Count = Annotated[StrictInt, Field(ge=1, le=COUNT_MAX)]
Url = Annotated[StrictStr, Field(min_length=1, max_length=2_000)]
Reason = Annotated[
    Annotated[StrictStr, Field(max_length=TEXT_MAX)] | None,
    AfterValidator(_printable),
    Field(description="Stored with the event"),
]


class Body(BaseModel):
    """A body: names that it does not have are refused."""

    model_config = ConfigDict(extra="forbid")


class CustomerBody(Body):
    """A customer; a second PUT replaces name, phone and e-mail."""

    name: Text = Field(examples=["Siti Rahma"])
    phone: OptionalText = Field("", examples=["628123456789"])
    email: OptionalText = Field("", examples=["siti@mail.example"])
    reason: Reason = None


class PlanBody(Body):
    """A plan: a price and a schedule, `every` or `cron`. A plan never changes."""

    amount: Amount
    every: Text | None = Field(None, examples=["1 month"])
    cron: Text | None = Field(None, examples=["0 9 1 * *"])
    name: Text | None = None
    timezone: Text = "Asia/Jakarta"
    trial: Text | None = Field(None, examples=["14 days"])
    cycles: Count | None = None
    notice: Text | None = Field(
        None,
        description="How long ahead `invoice.upcoming` announces each charge",
        examples=["3 days"],
    )
    retries: Text | None = Field(None, examples=["2d,7d,14d,21d"])
    retries_for: dict[str, Text] | None = Field(None, max_length=10)
    declines_max: Count | None = None
    attempts_max: Count | None = None
    days_max: Count | None = None
    on_exhausted: OnExhausted = OnExhausted.CANCEL
    catch_up: CatchUp = CatchUp.ALL
    use_points: StrictBool = False
    reason: Reason = None


class WalletLinkBody(Body):
    """A request for a registration URL, which the customer opens."""

    phone: Text = Field(examples=["628123456789"])
    success_url: Url | None = None
    failure_url: Url | None = None
    replace: StrictBool = False
    reason: Reason = None


class CreditBody(Body):
    """Credit that pays the customer's future invoices."""

    amount: Amount
    reason: Text


class CouponBody(Body):
    """A coupon: `percent` or `amount` off, for `cycles` invoices or for all."""

    code: Text = Field(examples=["WELCOME"])
    percent: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    amount: Amount | None = None
    cycles: Count | None = None
    redemptions_max: Count | None = None
    reason: Reason = None


class SubscriptionBody(Body):
    """A customer's subscription to a plan. `amount` replaces the plan's price per period."""

    customer: Text = Field(examples=["cust-1"])
    plan: Text = Field(examples=["gold"])
    start: Instant | None = None
    quantity: Count = 1
    amount: Amount | None = None
    coupon: Text | None = None
    setup_fee: Amount | None = None
    backdate: StrictBool = False
    again: StrictBool = Field(
        default=False, description="Allow a second subscription to the same plan"
    )
    reason: Reason = None


class CancelBody(Body):
    """When to cancel, and what to refund."""

    at: When = "now"
    refund: RefundPolicy = RefundPolicy.NONE
    unlink: StrictBool = False
    reason: Reason = None


class PauseBody(Body):
    """When to pause, and when to resume."""

    at: Literal["now", "period-end"] = "now"
    resume_at: Instant | None = None
    reason: Reason = None


class ResumeBody(Body):
    """How to resume: with the original schedule, or with a new period from now."""

    start: Literal["anchor", "now"] = "anchor"
    reason: Reason = None


class ChangeBody(Body):
    """Other terms; those that are not given stay."""

    plan: Text | None = None
    quantity: Count | None = None
    amount: Amount | None = None
    at: Literal["now", "period-end"] = "now"
    reason: Reason = None


class PreviewBody(Body):
    """A cancellation or a change that is not made."""

    action: Literal["cancel", "change"]
    at: When = "now"
    refund: RefundPolicy = RefundPolicy.NONE
    unlink: StrictBool = False
    plan: Text | None = None
    quantity: Count | None = None
    amount: Amount | None = None


class ExtraBody(Body):
    """An extra line of the next invoice."""

    title: Text = Field(examples=["Towel"])
    amount: Amount
    reason: Reason = None


class ApplyCouponBody(Body):
    """A coupon for the next invoices."""

    code: Text
    reason: Reason = None


class RefundBody(Body):
    """A refund; without an amount, everything that is kept."""

    amount: Amount | None = None
    reason: Text


class ActBody(Body):
    """Nothing but an optional reason."""

    reason: Reason = None


class WebhookEndpointBody(Body):
    """An endpoint that receives events by HTTPS."""

    url: Url = Field(examples=["https://shop.example/hook"])
    event_types: list[Text] = Field(
        default_factory=list, max_length=100, examples=[["invoice.paid", "charge.*"]],
        description="None: every type; `invoice.*` is all types of a noun",
    )  # fmt: skip
    description: OptionalText | None = None
    reason: Reason = None


class WebhookChangesBody(Body):
    """What changes; a value that is not given stays."""

    url: Url | None = None
    event_types: list[Text] | None = Field(None, max_length=100)
    description: OptionalText | None = None
    enabled: StrictBool | None = None
    reason: Reason = None


class WebhookReplayBody(Body):
    """A range of feed positions: above `after`, up to and including `last`."""

    after: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
    last: Annotated[StrictInt, Field(ge=1, le=2**63 - 1)] | None = None
    reason: Reason = None


class WebhookTest(BaseModel):
    """What the receiver answered to a test event."""

    succeeded: bool
    status_code: int | None
    error: str | None


class WebhookReplayed(BaseModel):
    """How many deliveries are sent again."""

    deliveries_count: int
