"""Event kinds: every kind of event that the engine records, and what it means.

A house test compares this table with the code; `docs/events.md` is generated from it.
"""

from difflib import get_close_matches
from enum import StrEnum

from billing.domain.errors import InvalidValue

KINDS: dict[str, str] = {
    "plan.created": "a plan was created",
    "plan.archived": "a plan was archived",
    "coupon.created": "a coupon was created",
    "coupon.archived": "a coupon was archived",
    "coupon.redeemed": "a subscription uses a coupon from now on",
    "customer.created": "a customer was created",
    "customer.updated": "name, phone or e-mail of a customer changed",
    "customer.erase_requested": "a customer is to be erased, once the wallet is unlinked",
    "customer.erased": "everything personal of a customer was emptied",
    "key.created": "an API key was created",
    "key.revoked": "an API key was revoked",
    "person.created": "a person may log in to the console from now on",
    "person.logged_in": "a person logged in to the console",
    "person.code_refused": "a log-in had the right password and a wrong code",
    "person.password_changed": "a person has a new password; every session ended",
    "person.role_changed": "a person has another role; every session ended",
    "person.second_factor_set": "a person has a new second factor; every session ended",
    "person.second_factor_removed": "a person logs in with the password only; every session ended",
    "person.sessions_ended": "every session of a person was ended",
    "person.disabled": "a person may not log in any more; every session ended",
    "person.enabled": "a disabled person may log in again",
    "wallet.link_requested": "linking of a wallet was started",
    "wallet.linked": "a wallet was linked; its token is stored",
    "wallet.link_failed": "the customer did not link the wallet, or the link was not given",
    "wallet.link_needed": "the wallet cannot be charged any more; the customer must link again",
    "wallet.replaced": "a wallet that no key decrypts was replaced",
    "wallet.expiring": "the token of a wallet expires soon",
    "wallet.unlink_requested": "the token of a wallet is to be deleted",
    "wallet.unlinked": "the token of a wallet was deleted",
    "wallet.unlink_stuck": "the token could not be deleted for a long time",
    "wallet.kept": "a wallet was to be unlinked, but is needed by other subscriptions",
    "subscription.created": "a subscription was created",
    "subscription.imported": "a running subscription was imported",
    "subscription.activated": "a subscription began, or its trial ended",
    "subscription.trial_started": "a trial began",
    "subscription.start_moved": "a subscription starts later, since its wallet came late",
    "subscription.fell_behind": "an invoice was declined; the subscription is past due",
    "subscription.recovered": "everything owed was paid; the subscription is active again",
    "subscription.marked_unpaid": "dunning ended; no periods are opened",
    "subscription.paused": "a subscription was paused",
    "subscription.resumed": "a subscription was resumed",
    "subscription.canceled": "a subscription was canceled",
    "subscription.completed": "the last period of a subscription ended",
    "subscription.changed": "plan, quantity or price changed",
    "subscription.cancel_scheduled": "a cancellation is planned",
    "subscription.cancel_withdrawn": "a planned cancellation was withdrawn",
    "subscription.cancel_moved": "a planned cancellation takes effect on another date",
    "subscription.cancel_dropped": "a planned cancellation ended without effect",
    "subscription.pause_scheduled": "a pause is planned",
    "subscription.pause_withdrawn": "a planned pause was withdrawn",
    "subscription.pause_moved": "a planned pause takes effect on another date",
    "subscription.pause_dropped": "a planned pause ended without effect",
    "subscription.resume_moved": "a planned resumption takes effect on another date",
    "subscription.resume_dropped": "a planned resumption ended without effect",
    "subscription.change_planned": "a change is planned for the end of the period",
    "subscription.change_withdrawn": "a planned change was withdrawn",
    "subscription.change_moved": "a planned change takes effect on another date",
    "subscription.change_dropped": "a planned change ended without effect",
    "subscription.coupon_ended": "the last invoice with a coupon was opened",
    "subscription.coupon_moved": "the end of a coupon is on another date",
    "subscription.coupon_dropped": "a coupon does not count any more",
    "subscription.extra_added": "an amount was added to the next invoice",
    "subscription.extra_dropped": "an amount that was to be added is not charged",
    "subscription.notice_failed": "a charge could not be announced, with the reason",
    "period.skipped": "a period is not billed, with the reason",
    "invoice.upcoming": "a charge is due soon, as long ahead as the plan's notice says",
    "invoice.opened": "the invoice of a period or of a change was opened",
    "invoice.paid": "an invoice was paid",
    "invoice.blocked": "an invoice waits for a wallet",
    "invoice.held_back": "an invoice is not charged now, because of a limit",
    "invoice.unsendable": "no request could be made for an invoice",
    "dunning.step_missed": "a step of dunning passed without an attempt",
    "invoice.postponed": "a retry was postponed: the wallet could not be checked",
    "invoice.retry_requested": "an operator retries an invoice",
    "invoice.reopened": "an uncollectible invoice is attempted again",
    "invoice.uncollectible": "dunning ended without payment",
    "invoice.voided": "an invoice is not owed any more",
    "invoice.short": "the balance was too low, so nothing was sent and no step was used",
    "charge.claimed": "a charge was recorded, before it is sent",
    "charge.resent": "a lost charge is sent again under its Request-Id",
    "charge.succeeded": "the money moved",
    "charge.declined": "the money did not move",
    "charge.unsent": "the request cannot have been executed",
    "charge.pending": "the charge waits for the customer",
    "charge.unknown": "there is no trusted answer yet",
    "charge.in_flight": "a decline must be confirmed before the charge is settled",
    "charge.parked": "the charge is not queried automatically any more",
    "charge.notified": "the gateway sent a notification about a charge",
    "charge.contradicted": "the gateway later said the opposite of the recorded outcome",
    "charge.confirmed": "an operator keeps the recorded outcome",
    "charge.breach_acknowledged": "an operator has handled a charge that gave back too much",
    "refund.requested": "a refund was requested",
    "refund.sent": "a refund was sent",
    "refund.succeeded": "the money was returned",
    "refund.failed": "a refund was declined; its money is kept",
    "refund.unreturned": "a refund was declined although its money must be returned",
    "refund.unsent": "the request cannot have been executed",
    "refund.unknown": "there is no trusted answer yet",
    "refund.parked": "the refund is not attempted automatically any more",
    "refund.retry_requested": "an operator retries a refund",
    "refund.replaced": "a new refund replaces a declined one",
    "refund.returned_elsewhere": "an operator returned the money by other means",
    "refund.waived": "an operator decided that the money is kept",
    "refund.contradicted": "the gateway later said the opposite of the recorded outcome",
    "refund.contradiction_acknowledged": "an operator has handled a contradiction",
    "credit.given": "credit was added to a customer",
    "credit.returned": "credit that had paid an invoice was returned",
    "credit.paid_out": "credit is refunded to the wallet that paid it",
    "credit.payout_restored": "an upgrade returned a payout that had been declined",
    "subscription.held": "a subscription is held after an error",
    "subscription.released": "an operator released a held subscription",
    "invoice.held": "an invoice is held after an error",
    "invoice.released": "an operator released a held invoice",
    "charge.held": "a charge is held after an error",
    "charge.released": "an operator released a held charge",
    "refund.held": "a refund is held after an error",
    "refund.released": "an operator released a held refund",
    "wallet.held": "a wallet is held after an error",
    "wallet.released": "an operator released a held wallet",
    "engine.charging_stopped": "charging was stopped, by an operator or by a limit",
    "engine.charging_started": "charging was started",
    "gateway.changed": "the database belongs to another gateway from now on",
    "clock.set": "the test clock was set",
    "webhook.created": "an endpoint was created",
    "webhook.updated": "an endpoint was changed",
    "webhook.enabled": "an endpoint receives events again",
    "webhook.disabled": "an endpoint receives no events, with the reason",
    "webhook.deleted": "an endpoint was deleted",
    "webhook.secret_rotated": "an endpoint has a new secret",
    "webhook.resend_requested": "an operator sends a delivery again",
    "webhook.replayed": "an operator sends a range of events again",
}
"""In the order of `docs/events.md`."""


class Resource(StrEnum):
    """What an event can be about: the resources that a webhook carries."""

    PLAN = "plan"
    COUPON = "coupon"
    CUSTOMER = "customer"
    WALLET = "wallet"
    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    CHARGE = "charge"
    REFUND = "refund"
    CREDIT = "credit"


_OF_OTHERS = {
    "period": Resource.SUBSCRIPTION,
    "dunning": Resource.INVOICE,
    "invoice.upcoming": Resource.SUBSCRIPTION,  # its invoice does not exist yet
}


_BY_NOUN = {each.value: each for each in Resource}


def resource_of(kind: str) -> Resource | None:
    """Return what events of a kind are about; None for those of the engine, keys and endpoints."""
    noun = kind.partition(".")[0]
    found = _OF_OTHERS.get(kind) or _OF_OTHERS.get(noun)
    return found or _BY_NOUN.get(noun)


TYPES_MAX = 100


def checked_types(types: list[str], field: str = "event_types") -> list[str]:
    """Return the event types of an endpoint: kinds, or `noun.*` for all kinds of a noun.

    Raises InvalidValue for a type that no event has.
    """
    if len(types) > TYPES_MAX:
        raise InvalidValue(
            f"an endpoint takes at most {TYPES_MAX} event types; none means all", field=field
        )
    known = KINDS.keys() | {f"{kind.partition('.')[0]}.*" for kind in KINDS}
    for each in types:
        if each not in known:
            near = get_close_matches(each, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; see docs/events.md"
            raise InvalidValue(f"no event has the type {each!r}{hint}", field=field)
    return sorted(set(types))


def expanded(types: list[str]) -> list[str]:
    """Return the kinds that types name: `invoice.*` stands for all kinds of a noun.

    Raises InvalidValue for a type that no event has.
    """
    wanted = checked_types(types, "type")
    nouns = {each.removesuffix(".*") for each in wanted if each.endswith(".*")}
    return [kind for kind in KINDS if kind in wanted or kind.partition(".")[0] in nouns]
