"""Labels: the words of states and actions in the language of the pages.

A word that is not here is shown as it is stored, with spaces. `N_` marks a text for the catalogue.
"""

import re
from collections.abc import Callable

from billing.domain.waiting import Brake


def N_(text: str) -> str:  # noqa: N802 - the usual name of this mark
    """Mark a text for translation; it is translated when it is shown."""
    return text


UNITS = {
    "day": (N_("%(n)s day"), N_("%(n)s days")),
    "week": (N_("%(n)s week"), N_("%(n)s weeks")),
    "month": (N_("%(n)s month"), N_("%(n)s months")),
    "year": (N_("%(n)s year"), N_("%(n)s years")),
}
"""Spans of a plan's calendar."""

LABELS: dict[str, str] = {
    # roles
    "viewer": N_("viewer"),
    "support": N_("support"),
    "operator": N_("operator"),
    "finance": N_("finance"),
    "admin": N_("admin"),
    # subscriptions, invoices, charges, refunds, wallets
    "pending": N_("pending"),
    "trialing": N_("in trial"),
    "active": N_("active"),
    "past_due": N_("past due"),
    "paused": N_("paused"),
    "unpaid": N_("unpaid"),
    "canceled": N_("canceled"),
    "completed": N_("completed"),
    "open": N_("open"),
    "paid": N_("paid"),
    "uncollectible": N_("uncollectible"),
    "void": N_("void"),
    "in_flight": N_("in flight"),
    "succeeded": N_("succeeded"),
    "declined": N_("declined"),
    "unsent": N_("unsent"),
    "unknown": N_("unknown"),
    "requested": N_("requested"),
    "unreturned": N_("unreturned"),
    "returned_elsewhere": N_("returned elsewhere"),
    "waived": N_("waived"),
    "approved": N_("approved"),
    "withdrawn": N_("withdrawn"),
    "outdated": N_("outdated"),
    "expired": N_("expired"),
    "failed": N_("failed"),
    "unlinking": N_("unlinking"),
    "unlinked": N_("unlinked"),
    # why a webhook was not delivered
    "name_not_resolved": N_("its name was not found"),
    "not_connected": N_("could not connect"),
    "timed_out": N_("no answer in time"),
    "address_refused": N_("its address is not allowed"),
    "tls_failed": N_("its certificate was not accepted"),
    "connection_lost": N_("the connection was lost"),
    "no_http_answer": N_("the answer was not HTTP"),
    # fault classes
    "insufficient_funds": N_("insufficient funds"),
    "limit": N_("limit"),
    "wallet": N_("wallet"),
    "technical": N_("technical"),
    "hard": N_("hard"),
    "other": N_("other"),
    # kinds of rows, and why a search found something
    "customer": N_("customer"),
    "subscription": N_("subscription"),
    "invoice": N_("invoice"),
    "charge": N_("charge"),
    "refund": N_("refund"),
    "credit": N_("credit"),
    "webhook": N_("webhook"),
    "approval": N_("approval"),
    "engine": N_("engine"),
    "name": N_("name"),
    "phone": N_("phone"),
    "e-mail": N_("e-mail"),
    "customers": N_("customers"),
    "subscriptions": N_("subscriptions"),
    "invoices": N_("invoices"),
    "charges": N_("charges"),
    "refunds": N_("refunds"),
    # why a charge will be made
    "renewal": N_("renewal"),
    "trial_end": N_("end of the trial"),
    "first": N_("first charge"),
    "retry": N_("retry"),
    # what needs attention
    "held": N_("held"),
    "late": N_("late"),
    "parked": N_("parked"),
    "stopped": N_("stopped"),
    "other amount": N_("other amount"),
    "contradicted": N_("contradicted"),
    "breach": N_("gave back too much"),
    "link open": N_("link open"),
    "unlink stuck": N_("unlink stuck"),
    "waits for wallet": N_("waits for wallet"),
    "waits for balance": N_("waits for balance"),
    "no date": N_("no date"),
    "waits for approval": N_("waits for approval"),
    "not finished": N_("not finished"),
    "postponed": N_("postponed"),
    "unsendable": N_("unsendable"),
    "disabled": N_("disabled"),
    "failing": N_("failing"),
    "deliveries failed": N_("deliveries failed"),
    # the timeline, and lines of an invoice
    "line period": N_("period"),
    "line coupon": N_("coupon"),
    "line extra": N_("extra line"),
    "line credit": N_("unused days of the old terms"),
    "line charge": N_("remaining days of the new terms"),
    "period": N_("period"),
    "change": N_("change"),
    "pause": N_("pause"),
    "attempt": N_("attempt"),
    "next charge": N_("next charge"),
    "cancellation": N_("cancellation"),
    "pause begins": N_("pause begins"),
    "resumption": N_("resumption"),
    "change of terms": N_("change of terms"),
    # ticks
    "end_subscriptions": N_("end, pause and resume subscriptions"),
    "open_periods": N_("open periods"),
    "sweep_charges": N_("send charges"),
    "reconcile": N_("query unresolved charges"),
    "sweep_refunds": N_("send refunds"),
    "attend_wallets": N_("attend wallets"),
    "announce_charges": N_("announce charges"),
    "deliver_webhooks": N_("deliver webhooks"),
    "count_ahead": N_("count what is ahead"),
    "audit": N_("audit"),
    # actors that are no person, and groups of events
    "scheduler": N_("the scheduler"),
    "gateway": N_("the gateway"),
    "guard": N_("the engine’s guard"),
    "scheduled": N_("schedule"),
    "live": N_("answer of the gateway"),
    "kept": N_("money that is kept"),
    "credited": N_("money that became credit"),
    "cancel": N_("cancellation"),
    "surplus": N_("paid too much"),
    "payout": N_("credit paid out"),
    "catalogue": N_("catalogue"),
    "access": N_("access"),
    "approvals": N_("approvals"),
    "webhooks": N_("webhooks"),
    # terms of a plan, and what ended dunning
    "catch up all": N_("every missed period is billed"),
    "catch up latest": N_("only the latest missed period is billed"),
    "exhausted cancel": N_("the subscription is canceled"),
    "exhausted unpaid": N_("the subscription stays unpaid"),
    "exhausted pause": N_("the subscription is paused"),
    "ended retries": N_("no retry was left"),
    "ended declines": N_("the maximum number of declines"),
    "ended attempts": N_("the maximum number of attempts"),
    "ended days": N_("the maximum number of days"),
    "ended ": N_("another cause, such as no wallet"),
}
MACHINES = frozenset({"scheduler", "gateway", "guard"})
"""Actors that are shown by their labels; every other one is a name."""

AT_ONCE = N_("It is charged with the next tick.")
BRAKES: dict[Brake, str] = {
    Brake.STOPPED: N_("Charging is stopped: nothing is charged until it is started again."),
    Brake.RESTING: N_("The gateway is not called for a short time after failures. Charging goes on"
                      " after that."),
}  # fmt: skip
"""What keeps due invoices from being charged with the next tick."""

_HEAD = re.compile(r"(?P<head>[^:(]+?)(?P<tail>(?:: | \().*)?", re.DOTALL)
WAITS = frozenset({
    N_("a linked wallet"), N_("the next tick"), N_("money in the wallet"), N_("its next date"),
    N_("the gateway, which is queried again to confirm a final answer"),
    N_("charging, which is stopped"), N_("an operator, because it is held"),
    N_("the gateway, which is not called for a short time after failures"),
    N_("a worker, which has its message; after 45 seconds another message is sent"),
    N_("the outcome of an unresolved charge"), N_("an older invoice, which is charged first"),
    N_("an older invoice, which is paid first"),
})  # fmt: skip
"""What a row waits for, as the engine says it, without the data behind a colon or a bracket."""


def awaited(what: str, translate: Callable[[str], str]) -> str:
    """Write what a row waits for in the language of the page; data stay as they are."""
    found = _HEAD.fullmatch(what)
    if found is None or found["head"] not in WAITS:
        return what
    return translate(found["head"]) + (found["tail"] or "")


GOOD = frozenset({"active", "paid", "succeeded", "returned_elsewhere", "approved"})
BAD = frozenset(
    {"past_due", "unpaid", "declined", "uncollectible", "unreturned", "expired", "failed"}
)
WAITING = frozenset(
    {"pending", "trialing", "open", "in_flight", "unknown", "requested", "unlinking", "paused"}
)


def tone(word: object) -> str:
    """Return the class of a state's mark: good, bad, waiting or quiet."""
    text = str(word)
    for name, words in (("good", GOOD), ("bad", BAD), ("waiting", WAITING)):
        if text in words:
            return name
    return "quiet"
