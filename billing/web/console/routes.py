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
    access,
    access_orders,
    ahead,
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
    webhook_orders,
    webhooks,
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
_SUBSCRIPTION = "/subscriptions/{subscription_id}"
_WEBHOOK, _DELIVERY = "/webhooks/{endpoint_id}", "/webhooks/deliveries/{delivery_id}"
_PERSON = "/access/people/{person_id}"


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
    Page("GET", "/webhooks", Action.SEE_ENGINE, webhooks.overview),
    *_deed("/webhooks/new", Action.CHANGE_WEBHOOKS, webhook_orders.add),
    Page("GET", _WEBHOOK, Action.SEE_ENGINE, webhooks.show),
    Page("GET", _DELIVERY, Action.SEE_CUSTOMERS, webhooks.delivery),
    *_deed(f"{_DELIVERY}/resend", Action.RESEND_WEBHOOKS, webhook_orders.resend),
    *_deed(f"{_WEBHOOK}/replay", Action.RESEND_WEBHOOKS, webhook_orders.replay),
    Page("POST", f"{_WEBHOOK}/test", Action.RESEND_WEBHOOKS, webhook_orders.send_test),
    *_deed(f"{_WEBHOOK}/change", Action.CHANGE_WEBHOOKS, webhook_orders.change),
    *_deed(f"{_WEBHOOK}/enable", Action.CHANGE_WEBHOOKS, webhook_orders.enable),
    *_deed(f"{_WEBHOOK}/disable", Action.CHANGE_WEBHOOKS, webhook_orders.disable),
    *_deed(f"{_WEBHOOK}/rotate", Action.CHANGE_WEBHOOKS, webhook_orders.rotate),
    *_deed(f"{_WEBHOOK}/delete", Action.CHANGE_WEBHOOKS, webhook_orders.delete),
    Page("GET", "/access", Action.SEE_ACCESS, access.overview),
    *_deed("/access/people/new", Action.MANAGE_ACCESS, access_orders.add_person),
    Page("GET", _PERSON, Action.SEE_ACCESS, access.show),
    *_deed(f"{_PERSON}/role", Action.MANAGE_ACCESS, access_orders.role),
    *_deed(f"{_PERSON}/password", Action.MANAGE_ACCESS, access_orders.password),
    *_deed(f"{_PERSON}/second-factor", Action.MANAGE_ACCESS, access_orders.factor),
    *_deed(f"{_PERSON}/no-second-factor", Action.MANAGE_ACCESS, access_orders.remove_factor),
    *_deed(f"{_PERSON}/disable", Action.MANAGE_ACCESS, access_orders.disable),
    *_deed(f"{_PERSON}/enable", Action.MANAGE_ACCESS, access_orders.enable),
    *_deed(f"{_PERSON}/end-sessions", Action.MANAGE_ACCESS, access_orders.end_sessions),
    *_deed("/access/keys/new", Action.MANAGE_ACCESS, access_orders.add_key),
    *_deed("/access/keys/{key_id}/revoke", Action.MANAGE_ACCESS, access_orders.revoke_key),
)  # fmt: skip
