"""*Approvals*: what waits for a second person; approve it, decline it, or withdraw one's own."""

from collections.abc import Callable
from uuid import UUID

from starlette.responses import Response

from billing.domain import approvals as rules
from billing.domain.approvals import ApprovalStatus
from billing.domain.errors import IllegalMove, InvalidValue
from billing.domain.people import Action, Person
from billing.services.context import Context
from billing.services.operating import approvals as service
from billing.services.operating.confirming import Changed
from billing.services.reading import approvals
from billing.store.queries.approvals import Approval
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


def _page(
    visit: Visit, status: int = 200, *, refused: str = "", changed: bool = False, wrong: str = ""
) -> Response:
    found = approvals.one(visit.context, id_of(visit, "approval_id"))
    row, person = found.row, visit.person
    assert person is not None  # noqa: S101 - the route needs an action
    is_open, is_own = row.status is ApprovalStatus.OPEN, row.asked_by == person.id
    may = person.may(Action.APPROVE)
    done = visit.query.get("done", "")
    return visit.page(
        "approval.html", status, found=found, row=row, tone=tone, refused=refused, wrong=wrong,
        changed=CHANGED if changed else "", obstacles=OBSTACLES,
        may_decide=may and is_open and not is_own and rules.may(person, row.kind),
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
