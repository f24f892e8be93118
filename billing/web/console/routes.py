"""Routes: every page and form of the console, with the action that it needs.

The action belongs to the handler, never to a path: a path can be written in many ways. A route
without an action is for everyone, also for who is not logged in.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from starlette.responses import Response

from billing.domain.people import Action
from billing.web.console.filtering import Kind
from billing.web.console.pages import (
    ahead,
    approvals,
    attention,
    customer,
    invoice,
    invoice_deeds,
    lists,
    login,
    now,
    search,
    subscription,
    subscription_deeds,
)
from billing.web.console.visits import Visit


class Page(NamedTuple):
    """A page or a form: its path within the console, and the function that answers.

    A form of a person carries the token of the session, except the one that begins a session.
    """

    method: str
    path: str
    action: Action | None
    answer: Callable[[Visit], Response]
    token: bool = True


_INVOICE = "/invoices/{invoice_id}"
_APPROVAL = "/approvals/{approval_id}"
_SUBSCRIPTION = "/subscriptions/{subscription_id}"


def _deed(path: str, action: Action, answer: Callable[[Visit], Response]) -> tuple[Page, Page]:
    """Return the form of an action, and what follows when it is sent."""
    return Page("GET", path, action, answer), Page("POST", path, action, answer)


PAGES = (
    Page("GET", "/login", None, login.show),
    Page("POST", "/login", None, login.log_in, token=False),
    Page("POST", "/logout", None, login.log_out),
    Page("POST", "/display", None, login.display),
    Page("GET", "/now", Action.SEE_ENGINE, now.show),
    Page("POST", "/charging/stop", Action.STOP_CHARGING, now.stop_charging),
    Page("POST", "/charging/start", Action.START_CHARGING, now.start_charging),
    Page("GET", "/search", Action.SEE_CUSTOMERS, search.show),
    *(Page("GET", f"/{kind}", Action.SEE_CUSTOMERS, partial(lists.show, kind)) for kind in Kind),
    *(
        Page("GET", f"/export/{kind}", Action.EXPORT_LISTS, partial(lists.export, kind))
        for kind in Kind
    ),
    Page("GET", "/ahead", Action.SEE_CUSTOMERS, ahead.show),
    Page("GET", "/attention", Action.SEE_CUSTOMERS, attention.show),
    Page("GET", "/attention/bulk", Action.ACT_IN_BULK, attention.choose),
    Page("POST", "/attention/bulk", Action.ACT_IN_BULK, attention.act),
    Page("GET", "/attention/done/{key}", Action.ACT_IN_BULK, attention.done),
    Page("GET", "/approvals", Action.SEE_CUSTOMERS, approvals.show),
    Page("GET", _APPROVAL, Action.SEE_CUSTOMERS, approvals.one),
    Page("POST", f"{_APPROVAL}/approve", Action.APPROVE, approvals.approve),
    Page("POST", f"{_APPROVAL}/decline", Action.APPROVE, approvals.decline),
    Page("POST", f"{_APPROVAL}/withdraw", Action.APPROVE, approvals.withdraw),
    Page("GET", "/customers/{customer_id:path}", Action.SEE_CUSTOMERS, customer.show),
    Page("GET", _INVOICE, Action.SEE_CUSTOMERS, invoice.show),
    Page("GET", "/charges/{charge_id}", Action.SEE_CUSTOMERS, invoice.of_charge),
    Page("GET", "/refunds/{refund_id}", Action.SEE_CUSTOMERS, invoice.of_refund),
    *_deed(f"{_INVOICE}/refund", Action.REFUND, invoice_deeds.refund),
    *_deed(f"{_INVOICE}/retry", Action.RETRY_INVOICES, invoice_deeds.retry),
    *_deed(f"{_INVOICE}/void", Action.VOID_INVOICES, invoice_deeds.void),
    *_deed(
        f"{_INVOICE}/charges/{{charge_id}}/resolve", Action.RESOLVE_CHARGES, invoice_deeds.resolve
    ),
    Page("GET", _SUBSCRIPTION, Action.SEE_CUSTOMERS, subscription.show),
    *_deed(f"{_SUBSCRIPTION}/cancel", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.cancel),
    *_deed(
        f"{_SUBSCRIPTION}/withdraw-cancel", Action.CHANGE_SUBSCRIPTIONS,
        subscription_deeds.withdraw_cancel,
    ),
    *_deed(f"{_SUBSCRIPTION}/pause", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.pause),
    *_deed(f"{_SUBSCRIPTION}/resume", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.resume),
    *_deed(f"{_SUBSCRIPTION}/change", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.change),
    *_deed(f"{_SUBSCRIPTION}/coupon", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.coupon),
    *_deed(f"{_SUBSCRIPTION}/extra", Action.CHANGE_SUBSCRIPTIONS, subscription_deeds.extra),
)  # fmt: skip
