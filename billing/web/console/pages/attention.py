"""*Attention*: what will not move by itself; and what can be done with many rows at once."""

from uuid import UUID, uuid4

from starlette.responses import Response

from billing.domain.approvals import Approvable
from billing.domain.errors import InvalidValue
from billing.domain.paging import Page
from billing.domain.people import Action
from billing.services.operating import approvals, bulk
from billing.services.reading import inbox
from billing.services.reading.inbox import Deed, Obstacle
from billing.store.queries.attention import Wanted
from billing.store.queries.holding import Kind
from billing.web.console import helping, live
from billing.web.console.filtering import address
from billing.web.console.labels import BRAKES, N_
from billing.web.console.live import Live
from billing.web.console.visits import PREFIX, Stopped, Visit, redirect

PAGE = 50
HERE = f"{PREFIX}/attention"
WORD_MAX = 50
KEY_LENGTH = 32
OBSTACLES = {
    Obstacle.OLDER: N_("an older invoice has to be paid first"),
    Obstacle.UNRESOLVED: N_("a charge of the subscription is unresolved"),
    Obstacle.WALLET: N_("no wallet is linked"),
    Obstacle.NOTHING_OWED: N_("nothing is owed any more"),
}


def show(visit: Visit) -> Response:
    """Show the counts, and a page of the rows that were asked for; with `part` only the counts."""
    if "part" in visit.query:
        return live.answer(visit, Action.SEE_CUSTOMERS, _counts)
    wanted = _wanted(visit)
    page = Page(PAGE, visit.query.get("after") or None)
    wrong = ""
    try:
        found = inbox.read(visit.context, wanted, page)
    except InvalidValue as refused:
        wrong = refused.said
        found = inbox.read(visit.context, wanted, Page(PAGE))

    def after(cursor: str) -> str:
        return address(HERE, {**_typed(wanted), "after": cursor})

    assert visit.person is not None  # noqa: S101 - the route needs an action
    return visit.page(
        "attention.html", 422 if wrong else 200, found=found, wanted=wanted, wrong=wrong,
        after=after, of=address_of, bulk=_bulk_address,
        first=address(HERE, _typed(wanted)) if page.after else "",
        may_act=visit.person.may(Action.ACT_IN_BULK),
        may_start=visit.person.may(Action.START_CHARGING),
        may_approve=visit.person.may(Action.APPROVE), helps=helping.for_person(visit.person),
    )  # fmt: skip


def _counts(visit: Visit, found: Live) -> Response:
    situation = found.situation
    return visit.page(
        "attention_counts.html", counts=situation.counts, at=situation.at, of=address_of
    )


def _wanted(visit: Visit) -> Wanted:
    given = {
        name: visit.query.get(name, "").strip()[:WORD_MAX] or None
        for name in ("kind", "cause", "customer")
    }
    alarm = {"yes": True, "no": False}.get(visit.query.get("alarm", ""))
    return Wanted(given["kind"], given["cause"], alarm, given["customer"])


def _typed(wanted: Wanted) -> dict[str, str]:
    alarm = "" if wanted.alarm is None else "yes" if wanted.alarm else "no"
    words = {"kind": wanted.kind, "cause": wanted.cause, "customer": wanted.customer}
    return {name: word or "" for name, word in words.items()} | {"alarm": alarm}


def address_of(kind: str, cause: str, alarm: bool) -> str:  # noqa: FBT001 - from a template
    """Return the address of exactly the rows that a line of the counts counts."""
    return address(HERE, _typed(Wanted(kind, cause, alarm)))


def _bulk_address(wanted: Wanted) -> str:
    """Return the address where these rows can be chosen; empty when each needs a look."""
    if wanted.kind is None or wanted.cause is None:
        return ""
    deed = inbox.deed_for(wanted.kind, wanted.cause)
    return address(f"{HERE}/bulk", _typed(wanted)) if deed else ""


def choose(visit: Visit) -> Response:
    """Show the rows that an action would touch; the form keeps exactly these."""
    wanted = _wanted(visit)
    deed = inbox.deed_for(wanted.kind or "", wanted.cause or "")
    if deed is None:
        return redirect(address(HERE, _typed(wanted)))
    found = inbox.choose(visit.context, wanted, bulk.ROWS_MAX)
    return _form(visit, wanted, deed, found, key=uuid4().hex)


def _form(
    visit: Visit, wanted: Wanted, deed: Deed, found: inbox.Choice, *, key: str, wrong: str = ""
) -> Response:
    kept = ",".join(each.item.id for each in found.rows)
    return visit.page(
        "bulk.html", 422 if wrong else 200, found=found, wanted=wanted, deed=deed.value,
        key=key, ids=kept, wrong=wrong, obstacles=OBSTACLES, rows_max=bulk.ROWS_MAX,
        brake=BRAKES[found.brake] if found.brake else "",
        back=address(HERE, _typed(wanted)), reason=visit.form.get("reason", ""),
        needs_second=approvals.is_many(visit.context, len(found.rows)),
        limit=visit.context.settings.approval_bulk_above,
    )  # fmt: skip


def act(visit: Visit) -> Response:
    """Do it with the rows of the form, and lead to the report."""
    form = visit.form
    kind, cause = form.get("kind", ""), form.get("cause", "")
    deed = inbox.deed_for(kind, cause)
    ids, key = _ids(form.get("ids", "")), form.get("key", "")
    if deed is None or ids is None or not (len(key) == KEY_LENGTH and key.isalnum()):
        raise Stopped(422, "old_form")
    wanted = Wanted(kind, cause, ids=tuple(str(each) for each in ids))
    found = inbox.choose(visit.context, wanted, bulk.ROWS_MAX)
    try:
        by = visit.actor
    except InvalidValue as refused:
        return _form(visit, wanted, deed, found, key=key, wrong=refused.said)
    seen = {each.item.id: each.item for each in found.rows}
    rows = [
        bulk.Row(each, item.customer if item else None, item.amount if item else None)
        for each in ids
        for item in [seen.get(str(each))]
    ]
    order = bulk.Order(deed, Kind(kind), cause, rows)
    if approvals.is_many(visit.context, len(rows)):
        if not found.rows:
            return _form(visit, wanted, deed, found, key=key)
        there = [each for each in rows if str(each.id) in seen]
        return _asked(visit, order._replace(rows=there), found.amount, key)
    bulk.run(visit.context, order, by, key)
    return redirect(f"{HERE}/done/{key}")


def _asked(visit: Visit, order: bulk.Order, amount: int, key: str) -> Response:
    """Ask a second person; amount is what the rows would charge, as things are now."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    wanted = approvals.Order(
        Approvable.BULK, f"bulk/{key}", None, approvals.arguments_of(order), key
    )
    shown = approvals.Shown(amount if order.deed is Deed.RETRY else 0, len(order.rows))
    reason = visit.actor.reason or ""
    made = approvals.ask(visit.context, wanted, shown, visit.person, reason)
    return redirect(f"{PREFIX}/approvals/{made}?done=asked")


def _ids(written: str) -> list[UUID] | None:
    """Read the ids of a form, each once; None unless there are one to ROWS_MAX of them."""
    try:
        ids = list(dict.fromkeys(UUID(each) for each in written.split(",")))
    except ValueError:
        return None
    return ids if len(ids) <= bulk.ROWS_MAX else None


def done(visit: Visit) -> Response:
    """Show what was done with each row; a reload does nothing."""
    report = bulk.report(visit.context, visit.request.path_params["key"])
    held = inbox.brake(visit.context)
    return visit.page(
        "bulk_done.html", report=report, kinds=f"{report.kind}s",
        count_done=sum(each.is_done for each in report.rows), brake=BRAKES[held] if held else "",
        amount=sum(each.amount or 0 for each in report.rows if each.is_done),
    )  # fmt: skip
