"""Event details: the data of an event as pairs of a word and a value that a person can read.

Amounts are rupiah, instants are in the viewer's zone, states are words, ids are short, and lead to
the page of their row. A key that
is not here is shown as it is stored, with spaces. Ids that a name stands beside are left out.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from markupsafe import Markup

from billing.domain import instants
from billing.domain.escaping import escape
from billing.domain.short_ids import short
from billing.web.console.display import Display
from billing.web.console.labels import N_

AMOUNTS = frozenset({
    "amount", "credited", "rupiah", "shortfall", "refunded", "charged", "price", "total",
    "amount_refunded", "amount_charged", "amount_credited",
})  # fmt: skip
STATES = frozenset({
    "before", "after", "fault", "status", "role", "cap", "on", "waiting", "wallet_status",
    "purpose", "source", "recorded", "ours", "trigger",
})  # fmt: skip
LAST = frozenset({"after", "why"})
LEFT_OUT = frozenset({"currency", "person", "key"})
KEYS: dict[str, str] = {
    "amount": N_("amount"),
    "attempt": N_("attempt"),
    "asked_again_at": N_("asked again"),
    "attempts": N_("attempts"),
    "backdated_to": N_("backdated to"),
    "before": N_("before"),
    "after": N_("afterwards"),
    "begins_at": N_("begins"),
    "booked": N_("recorded as returned"),
    "cancel_at": N_("ends on"),
    "cap": N_("limit that was reached"),
    "change_at": N_("changes on"),
    "change_index": N_("number of the change"),
    "changed": N_("changed"),
    "charge_at": N_("charged on"),
    "code": N_("code"),
    "coupon": N_("coupon"),
    "credit": N_("credit"),
    "credited": N_("paid by credit"),
    "cycles": N_("invoices"),
    "days": N_("days"),
    "deliveries": N_("deliveries"),
    "delivery": N_("delivery"),
    "due_at": N_("due on"),
    "effective_at": N_("takes effect on"),
    "event_types": N_("types of events"),
    "expires_at": N_("expires on"),
    "fault": N_("cause"),
    "first_payment": N_("first payment"),
    "first": N_("first period"),
    "gateway": N_("gateway"),
    "key_name": N_("key"),
    "last": N_("last period"),
    "late": N_("late"),
    "needed_by": N_("needed by"),
    "on": N_("waits for"),
    "ours": N_("recorded"),
    "paid_before": N_("paid before"),
    "percent": N_("percent"),
    "period_index": N_("period"),
    "person_name": N_("person"),
    "plan": N_("plan"),
    "purpose": N_("purpose"),
    "quantity": N_("quantity"),
    "recorded": N_("recorded"),
    "reference": N_("reference"),
    "refund": N_("refund"),
    "replaced_by": N_("replaced by"),
    "resume_at": N_("resumes on"),
    "role": N_("role"),
    "rupiah": N_("takes off"),
    "said": N_("said"),
    "scopes": N_("scopes"),
    "shortfall": N_("missing"),
    "source": N_("source"),
    "start_at": N_("begins"),
    "status": N_("status"),
    "status_queries": N_("status queries"),
    "subscriptions": N_("subscriptions"),
    "trigger": N_("asked for by"),
    "title": N_("what it is for"),
    "until": N_("until"),
    "waiting": N_("waits for"),
    "wallet": N_("wallet"),
    "wallet_expires_at": N_("the wallet expires on"),
    "wallet_status": N_("wallet"),
    "webhook": N_("endpoint"),
    "why": N_("why"),
    "word": N_("said before"),
}
"""The words of the keys of an event's data."""
PAGES = {
    "subscriptions": "subscriptions", "invoice": "invoices", "charge": "charges",
    "refund": "refunds", "replaced_by": "refunds", "webhook": "webhooks",
    "delivery": "webhooks/deliveries", "approval": "approvals",
}  # fmt: skip
"""The pages of rows whose ids are in the data."""
YES, NO = N_("yes"), N_("no")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def lines(
    data: Mapping[str, object],
    display: Display,
    said: Callable[[str], str],
    label: Callable[[object], str],
    beside: tuple[str | None, ...] = (),
) -> list[tuple[str, str]]:
    """Return the details of an event as words and values: amounts first, and why last.

    What says nothing is left out, also what repeats a text `beside` it, such as the reason.
    """

    def value(key: str, given: object) -> str:
        if isinstance(given, bool):
            return said(YES if given else NO)
        if isinstance(given, int):
            return display.rupiah(given) if key in AMOUNTS else display.number(given)
        if isinstance(given, list):
            return Markup(", ").join(value(key, each) for each in given)
        text = str(given)
        at = instants.read(text)
        if isinstance(at, datetime):
            return display.instant(at)
        if key in STATES:
            return escape(label(text))
        is_id = ID.fullmatch(text) is not None
        if not is_id:
            return escape(text)
        if key not in PAGES:
            return short(UUID(text))
        link = Markup('<a href="/console/{}/{}">{}</a>')
        return link.format(PAGES[key], text, short(UUID(text)))

    return [
        (said(KEYS[key]) if key in KEYS else escape(key.replace("_", " ")), value(key, given))
        for key, given in sorted(
            data.items(), key=lambda each: (each[0] not in AMOUNTS, each[0] in LAST)
        )
        if key not in LEFT_OUT and given not in (None, "", [], {}, *beside)
    ]
