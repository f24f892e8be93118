"""*Approvals*: what waits for a second person; approve it, decline it, or withdraw one's own."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from starlette.responses import Response

from billing.domain import approvals as rules
from billing.domain.approvals import Approvable, ApprovalStatus
from billing.domain.errors import IllegalMove, InvalidValue
from billing.domain.payloads import Json
from billing.domain.people import Action, Person
from billing.services.context import Context
from billing.services.operating import approval_terms
from billing.services.operating import approvals as service
from billing.services.operating.confirming import Changed
from billing.services.reading import approvals
from billing.store.queries.approvals import Approval, Listed
from billing.web.console.labels import N_, tone
from billing.web.console.pages.attention import OBSTACLES
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit, redirect

HERE = f"{PREFIX}/approvals"
DONE = {
    "asked": N_("Approval was asked for. Nothing happens before another person approves it."),
    "approved": N_("It was approved and done."),
    "declined": N_("It was declined; nothing was done."),
    "withdrawn": N_("It was withdrawn; nothing was done."),
}
CHANGED = N_(
    "Something has changed since this was asked: nothing was done, and the request has ended."
)
_WHEN = {"now": N_("Now, when it is approved"), "period_end": N_("At the end of the period")}
_REFUND = {
    "none": N_("None"),
    "prorated": N_("The unused days"),
    "full": N_("The whole period"),
}
Decide = Callable[[Context, UUID, Person, str], Approval]


def show(visit: Visit) -> Response:
    """Show what waits, and what has ended."""
    return visit.page(
        "approvals.html", board=approvals.read(visit.context), tone=tone,
        settings=visit.context.settings,
    )  # fmt: skip


def one(visit: Visit) -> Response:
    """Show one request."""
    return _page(visit)


class Terms(NamedTuple):
    """Money and days of an action: rupiah that go back and are kept, and until when is paid."""

    refunded: int
    kept: int | None
    paid_until: datetime | None
    paid_until_after: datetime | None

    @classmethod
    def of(cls, terms: Json) -> "Terms":
        """Read them as they are stored."""
        kept = terms.get("kept")
        return cls(
            int(str(terms.get("refunded") or 0)), None if kept is None else int(str(kept)),
            _instant(terms.get("paid_until")), _instant(terms.get("paid_until_after")),
        )  # fmt: skip


class Preview(NamedTuple):
    """What was shown to who asked, what would happen now, and why it is refused now, if it is.

    `lately` are the rupiah that count toward the limit besides, and `again` the values of
    the form that asks again.
    """

    shown: Terms | None
    now: Terms | None
    refusal: str
    is_current: bool
    lately: int
    when: str
    refund: str
    place: str
    again: dict[str, str]


def _preview(visit: Visit, row: Listed) -> Preview | None:
    """Measure a request of one subscription that waits, or that has changed; nothing is done."""
    if row.subscription_id is None:
        return None
    given, refusal = approval_terms.shown(row.arguments), ""
    now: Json = {}
    if row.status in {ApprovalStatus.OPEN, ApprovalStatus.OUTDATED}:
        now, refusal = service.now_of(visit.context, row.id)
    arguments = {key: value for key, value in row.arguments.items() if value is not None}
    again = {
        "reason": row.reason, "amount": str(arguments.get("amount", "")),
        "at": str(arguments.get("when", "")), "refund": str(arguments.get("refund", "")),
        "unlink": "yes" if arguments.get("unlink") is True else "",
    }  # fmt: skip
    is_refund = row.kind is Approvable.REFUND
    return Preview(
        Terms.of(given) if given else None, Terms.of(now) if now else None, refusal,
        approval_terms.is_same(given, now), service.lately(visit.context, row.subscription_id),
        _WHEN.get(again["at"], ""), _REFUND.get(again["refund"], ""),
        f"invoices/{row.subject}/refund" if is_refund else f"subscriptions/{row.subject}/cancel",
        {name: value for name, value in again.items() if value},
    )  # fmt: skip


def _instant(written: object) -> datetime | None:
    return datetime.fromisoformat(written) if isinstance(written, str) else None


def _page(
    visit: Visit, status: int = 200, *, refused: str = "", changed: bool = False, wrong: str = ""
) -> Response:
    found = approvals.one(visit.context, id_of(visit, "approval_id"))
    row, person = found.row, visit.person
    assert person is not None  # noqa: S101 - the route needs an action
    is_open, is_own = row.status is ApprovalStatus.OPEN, row.asked_by == person.id
    may = person.may(Action.APPROVE)
    done, preview = visit.query.get("done", ""), _preview(visit, row)
    is_current = preview is None or preview.is_current
    may_decide = may and is_open and not is_own and rules.may(person, row.kind)
    is_outdated = row.status is ApprovalStatus.OUTDATED or (is_open and not is_current)
    return visit.page(
        "approval.html", status, found=found, row=row, tone=tone, refused=refused, wrong=wrong,
        preview=preview, is_current=is_current, is_outdated=is_outdated,
        may_ask_again=is_outdated and is_own and rules.may(person, row.kind),
        limit=visit.context.settings.approval_refund_above,
        changed=CHANGED if changed else "", obstacles=OBSTACLES,
        may_decide=may_decide,
        was_prepared=may_decide and approvals.was_prepared(visit.context, row, person.id),
        may_withdraw=may and is_open and is_own, is_own=is_own,
        may_continue=may and row.is_unfinished and row.decided_by == person.id,
        done=DONE.get(done, "") if done in {"asked", row.status} else "",
        reason=visit.form.get("reason", ""), here=f"{HERE}/{row.id}",
    )  # fmt: skip


def approve(visit: Visit) -> Response:
    """Approve another person's request: it is done now."""
    return _decided(visit, service.approve)


def decline(visit: Visit) -> Response:
    """Decline another person's request."""
    return _decided(visit, service.decline)


def withdraw(visit: Visit) -> Response:
    """Withdraw one's own request."""
    return _decided(visit, service.withdraw)


def _decided(visit: Visit, decide: Decide) -> Response:
    approval_id = id_of(visit, "approval_id")
    assert visit.person is not None  # noqa: S101 - the route needs an action
    try:
        reason = visit.actor.reason or ""
    except InvalidValue as invalid:
        return _page(visit, 422, wrong=invalid.said)
    try:
        row = decide(visit.context, approval_id, visit.person, reason)
    except Changed:
        return _page(visit, 409, changed=True)
    except IllegalMove as refused:
        return _page(visit, 409, refused=refused.said)
    if row.status is ApprovalStatus.APPROVED and row.subscription_id is None:
        return redirect(f"{PREFIX}/attention/done/{row.key}")
    return redirect(f"{HERE}/{row.id}?done={row.status}")
