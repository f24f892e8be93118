"""Tasks that an operator starts from Flower, the CLI or another program.

Arguments are JSON. Each task takes `by` (the name of a person or program), `reason`, and
`idempotency_key`, whose default is the task's id, so that a message delivered twice acts once. A
used key with other arguments, or with another reason, is refused.
Invalid arguments are refused with one line.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from typing import Any
from uuid import UUID

from billing.domain.errors import BillingError, InvalidValue
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.domain.subscription import RefundPolicy, check_refund
from billing.domain.text import checked_name, indonesian_phone
from billing.logs import Logger
from billing.services.context import Request
from billing.services.money import refunding
from billing.services.operating import invoice_actions, kill_switch
from billing.services.subscriptions import canceling, changing, pausing, subscribing
from billing.services.wallets import linking, unlinking
from workers import arguments
from workers.app import app, context

log = Logger(__name__)

KEY_MAX = 200
NAME_MAX = 50
REASON_MAX = 255
"""The gateway's limit for a refund's reason."""


def admin_task(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Register `(by, request, **arguments)`, which calls one service, as an admin task."""

    def decorate(function: Callable[..., Any]) -> Any:
        kinds = arguments.names(function, frozenset({"by", "request"}))
        needed = _needed(function, kinds)

        @app.task(name=name, bind=True, typing=False, throws=(BillingError,))  # type: ignore[untyped-decorator]
        @wraps(function)
        def task(self: Any, *args: Any, **kwargs: Any) -> None:
            try:
                given, by, key = _arguments(list(kinds), args, kwargs, str(self.request.id))
                absent = [argument for argument in needed if argument not in given]
                if absent:
                    raise InvalidValue(f"{absent[0]} is missing")
                values = arguments.read(kinds, given)
                said = {} if by.reason is None else {"reason": by.reason}
                answer = function(by, Request(key, name, given | said), **values)
            except BillingError as refused:
                _refuse(name, refused)
            log.info("admin.done", admin_task=name, key=key, **(answer or {}))

        return task

    return decorate


def _arguments(
    names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any], task_id: str
) -> tuple[dict[str, Any], Actor, str]:
    if len(args) > len(names):
        raise InvalidValue(f"too many arguments; it takes {', '.join(names) or 'none'}")
    given = dict(zip(names, args, strict=False)) | kwargs
    who = given.pop("by", None)
    reason, key = given.pop("reason", None), given.pop("idempotency_key", None)
    key = task_id if key is None else key
    if not 1 <= len(arguments.text("idempotency_key", key)) <= KEY_MAX:
        raise InvalidValue(f"idempotency_key must have 1 to {KEY_MAX} characters")
    if reason is not None and len(arguments.text("reason", reason, keep="\n\t")) > REASON_MAX:
        raise InvalidValue(f"reason must have at most {REASON_MAX} characters")
    name = "admin task" if who is None else checked_name("by", arguments.text("by", who), NAME_MAX)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise InvalidValue(
            f"unknown argument {unknown[0]!r}; it takes {', '.join(names) or 'none'}"
        )
    return given, Actor(name, reason), key


def _needed(function: Callable[..., Any], kinds: Iterable[str]) -> list[str]:
    parameters = inspect.signature(function).parameters
    return [name for name in kinds if parameters[name].default is inspect.Parameter.empty]


def _refuse(name: str, refused: BillingError) -> None:
    log.warning("admin.refused", admin_task=name, why=str(refused))
    raise refused from None  # the original error contains the arguments


@admin_task("admin.link_wallet")
def link_wallet(
    by: Actor,
    request: Request,
    customer: str,
    phone: str,
    success_url: str | None = None,
    failure_url: str | None = None,
    replace: bool = False,  # noqa: FBT001, FBT002 - JSON arguments are named
) -> None:
    """Start linking a customer's OVO account; `replace` ends a wallet that no key decrypts."""
    # Commands are not encrypted: a keyed hash stands for the phone.
    hashed = context().vault.hashes(indonesian_phone(phone).encode())[0].hex()
    kept = dataclasses.replace(request, arguments={**request.arguments, "phone": hashed})
    linking.link(
        context(), customer, phone, by,
        success_url=success_url, failure_url=failure_url, replace=replace, request=kept,
    )  # fmt: skip


@admin_task("admin.unlink_wallet")
def unlink_wallet(by: Actor, request: Request, customer: str) -> None:
    """Delete a customer's token once no charge or refund needs it."""
    unlinking.unlink(context(), customer, by, request)


@admin_task("admin.subscribe")
def subscribe(
    by: Actor,
    request: Request,
    customer: str,
    plan: str,
    start: datetime | None = None,
    quantity: int = 1,
    amount: int | None = None,
    coupon: str | None = None,
    setup_fee: int | None = None,
    backdate: bool = False,  # noqa: FBT001, FBT002 - JSON arguments are named
) -> Json:
    """Subscribe a customer to a plan. `start` is an ISO 8601 instant with offset.

    A new idempotency key creates a new subscription, even to a plan that the customer already has.
    """
    made = subscribing.subscribe(
        context(), customer, plan, by, start=start, quantity=quantity, amount=amount,
        coupon=coupon, setup_fee=setup_fee, backdate=backdate, request=request,
    )  # fmt: skip
    more = {name: made.get(name) for name in ("charged_now", "waits_for")}
    return {"subscription": made["id"], **more}


@admin_task("admin.change_subscription")
def change_subscription(
    by: Actor,
    request: Request,
    subscription: UUID,
    plan: str | None = None,
    quantity: int | None = None,
    amount: int | None = None,
    at: str = changing.NOW,
) -> None:
    """Change plan, quantity or price per period, `now` or at `period-end`."""
    changing.change(
        context(), subscription, by, plan_code=plan, quantity=quantity, amount=amount, at=at,
        request=request,
    )  # fmt: skip


@admin_task("admin.cancel_subscription")
def cancel_subscription(
    by: Actor,
    request: Request,
    subscription: UUID,
    at: str = canceling.NOW,
    refund: RefundPolicy = RefundPolicy.NONE,
    unlink: bool = False,  # noqa: FBT001, FBT002 - JSON arguments are named
) -> Json:
    """Cancel `now`, at `period-end`, or at an ISO 8601 instant with offset."""
    when: str | datetime = at
    check_refund(at, refund)
    if at not in {canceling.NOW, canceling.PERIOD_END}:
        try:
            when = arguments.instant("at", at)
        except InvalidValue as wrong:
            raise InvalidValue(f"at must be now, period-end or an instant: {wrong}") from None
    return canceling.cancel(
        context(), subscription, by, at=when, refund=refund, unlink=unlink, request=request
    )


@admin_task("admin.pause_subscription")
def pause_subscription(
    by: Actor,
    request: Request,
    subscription: UUID,
    at: str = pausing.NOW,
    until: datetime | None = None,
) -> None:
    """Pause from `now` or `period-end`; `until` is an optional ISO 8601 instant."""
    pausing.pause(context(), subscription, by, at=at, until=until, request=request)


@admin_task("admin.resume_subscription")
def resume_subscription(
    by: Actor, request: Request, subscription: UUID, start: str = pausing.ANCHOR
) -> None:
    """Resume with the next period of the `anchor`, or with a new period from `now`."""
    pausing.resume(context(), subscription, by, start=start, request=request)


@admin_task("admin.retry_invoice")
def retry_invoice(by: Actor, request: Request, invoice: UUID) -> None:
    """Attempt an open invoice immediately."""
    invoice_actions.retry_invoice(context(), invoice, by, request)


@admin_task("admin.void_invoice")
def void_invoice(by: Actor, request: Request, invoice: UUID) -> None:
    """Void the invoice: it will not be charged."""
    invoice_actions.void_invoice(context(), invoice, by, request)


@admin_task("admin.refund_invoice")
def refund_invoice(by: Actor, request: Request, invoice: UUID, amount: int | None = None) -> None:
    """Refund `amount` rupiah of a paid invoice; default: everything that is kept."""
    made = refunding.refund_invoice(context(), invoice, amount, by, request)
    # A tick would also send it, but its message would wait behind the other work of this process.
    refunding.send_due(context(), UUID(made["refund"]))


@admin_task("admin.stop_charging")
def stop_charging(by: Actor, request: Request) -> Json:
    """Stop sending new charges immediately."""
    return kill_switch.stop_charging(context(), by, request)


@admin_task("admin.start_charging")
def start_charging(by: Actor, request: Request) -> Json:
    """Resume charging of everything that is due."""
    return kill_switch.start_charging(context(), by, request)
