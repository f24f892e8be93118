"""What the console's forms do for a person, without pages: a preview, and its confirmation.

Above a limit a confirmed action becomes a request to a second person. It repeats in a few lines
what `billing/web/console/deeds.py` does, so that lives and storms act as the console does.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from billing.domain.approvals import Approvable
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.domain.people import Person
from billing.domain.subscription import RefundPolicy
from billing.services.context import Context, Request
from billing.services.money import refunding
from billing.services.operating import approvals, bulk, confirming
from billing.services.operating.approvals import AboveLimit
from billing.services.operating.confirming import Basis
from billing.services.reading import effects, inbox
from billing.services.reading.effects import Effect
from billing.services.subscriptions import canceling
from billing.store.queries.attention import Wanted
from billing.store.queries.holding import Kind

Act = Callable[[Context, Actor, Request | None], object]


class Errand(NamedTuple):
    """An action of one subscription that may need a second person."""

    kind: Approvable
    subject: UUID
    subscription: UUID
    arguments: Json
    act: Act


class Read(NamedTuple):
    """What a person has read: the effect, and the digest of everything that is shown."""

    effect: Effect
    digest: str

    @property
    def amount(self) -> int:
        """Rupiah that would go back."""
        return self.effect.amount_refunded or 0


class Bulk(NamedTuple):
    """An action on many rows that was confirmed: its order, and the request if it needs one."""

    order: bulk.Order
    request: UUID | None


def refund_of(invoice: UUID, subscription: UUID, amount: int | None) -> Errand:
    """A refund of an invoice."""
    return Errand(
        Approvable.REFUND, invoice, subscription, {"amount": amount},
        lambda c, by, request: refunding.refund_invoice(c, invoice, amount, by, request),
    )  # fmt: skip


def cancellation_of(subscription: UUID, policy: RefundPolicy, *, unlink: bool = False) -> Errand:
    """A cancellation now, with a refund."""
    return Errand(
        Approvable.CANCEL, subscription, subscription,
        {"when": canceling.NOW, "refund": policy, "unlink": unlink},
        lambda c, by, request: canceling.cancel(
            c, subscription, by, at=canceling.NOW, refund=policy, unlink=unlink, request=request
        ),
    )  # fmt: skip


def preview(context: Context, errand: Errand, by: Actor) -> Read:
    """Show what an action would do. Raises what the action would raise."""
    effect = effects.preview(
        context, errand.subscription, lambda inside: errand.act(inside, by, None)
    )
    return Read(effect, confirming.digest(errand.arguments, effect))


def confirm(
    context: Context, errand: Errand, read: Read, person: Person, reason: str, key: str
) -> UUID | None:
    """Confirm what was read; return the request that it became, or None when it was done."""
    by = Actor(person.name, reason)
    subject = str(errand.subject)
    whole = f"api:console:{person.id}:{key}"
    given = {**errand.arguments, "subject": subject, "reason": reason}
    basis = Basis(
        read.effect.seen,
        lambda effect: confirming.digest(errand.arguments, effect) == read.digest,
        approvals.limit_of(context, errand.subscription),
    )
    try:
        confirming.act_once(
            context, errand.subscription, basis,
            Request(whole, f"console.{errand.kind}", given),
            lambda inside, request: errand.act(inside, by, request),
        )  # fmt: skip
    except AboveLimit as above:
        order = approvals.Order(
            errand.kind, subject, errand.subscription, errand.arguments, whole
        )  # fmt: skip
        shown = approvals.Shown(
            above.amount, seen=read.effect.seen, basis=read.digest, effect=above.effect
        )
        return approvals.ask(context, order, shown, person, reason)
    return None


def choose(context: Context, kind: Kind, cause: str, most: int) -> bulk.Order | None:
    """Choose rows of Attention, as the page of an action on many does; None without a row."""
    deed = inbox.deed_for(kind.value, cause)
    assert deed is not None
    rows = inbox.choose(context, Wanted(kind.value, cause), most).rows
    if not rows:
        return None
    chosen = [bulk.Row(UUID(each.item.id), each.item.customer, each.item.amount) for each in rows]
    return bulk.Order(deed, kind, cause, chosen)


def confirm_many(
    context: Context, order: bulk.Order, person: Person, reason: str, key: str
) -> UUID | None:
    """Act on the rows, or ask a second person about exactly these; return that request."""
    if not approvals.is_many(context, len(order.rows)):
        bulk.run(context, order, Actor(person.name, reason), key)
        return None
    asked = approvals.Order(
        Approvable.BULK, f"bulk/{key}", None, approvals.arguments_of(order), key
    )
    amount = sum(each.amount or 0 for each in order.rows)
    return approvals.ask(
        context, asked, approvals.Shown(amount, len(order.rows)), person, reason
    )  # fmt: skip


def ids_of(order: bulk.Order) -> Sequence[str]:
    """The ids of the rows of an order."""
    return [str(each.id) for each in order.rows]
