"""*Catalogue*: which plans and coupons there are, and taking one out of the offer."""

from collections.abc import Callable
from uuid import uuid4

from starlette.responses import Response

from billing.domain.errors import BillingError, IllegalMove, InvalidValue, NotKnown
from billing.domain.filters import CatalogStatus, Counted
from billing.domain.paging import Page
from billing.domain.people import Action
from billing.services.operating import archiving
from billing.services.operating.archiving import What
from billing.services.reading import catalog, catalogue_page
from billing.services.reading.catalogue_page import COUNT_MAX
from billing.web.console.deeds import KEY
from billing.web.console.filtering import address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Stopped, Visit, redirect

PAGE = 50
HERE = f"{PREFIX}/catalogue"
CODE_MAX = 100
DONE = N_("It is archived: nothing new can use it.")


def show(visit: Visit) -> Response:
    """Show plans and coupons: those on offer, archived ones, or all."""
    words = {each.value: each for each in CatalogStatus}
    written = visit.query.get("status", CatalogStatus.ACTIVE.value)
    status = words.get(written)
    typed = {"status": written if status else "all"}
    cursors = {name: visit.query.get(name) or None for name in ("plans", "coupons")}
    wrong = ""
    try:
        found = catalogue_page.read(
            visit.context, status, Page(PAGE, cursors["plans"]), Page(PAGE, cursors["coupons"])
        )
    except InvalidValue as refused:
        wrong = refused.said
        found = catalogue_page.read(visit.context, status, Page(PAGE), Page(PAGE))

    def after(name: str, cursor: str) -> str:
        return address(HERE, {**typed, name: cursor}) + f"#{name}"

    return visit.page(
        "catalogue.html", 422 if wrong else 200, found=found, shown=typed["status"], wrong=wrong,
        after=after, first=address(HERE, typed) if any(cursors.values()) else "",
        running=_running(visit), plan_address=plan_address, archive_address=archive_address,
        count_max=COUNT_MAX, may_archive=_may_archive(visit), done=_done(visit),
    )  # fmt: skip


def _may_archive(visit: Visit) -> bool:
    assert visit.person is not None  # noqa: S101 - the route needs an action
    return visit.person.may(Action.CHANGE_CATALOGUE)


def _done(visit: Visit) -> str:
    return DONE if visit.query.get("done") == "archive" else ""


def _running(visit: Visit) -> Callable[[str], str]:
    """Return a function that gives the address of a plan's running subscriptions."""
    at = visit.context.clock.now().isoformat()

    def of(code: str) -> str:
        wanted = {"plan": code, "of": Counted.RUNNING.value, "at": at}
        return address(f"{PREFIX}/subscriptions", wanted)

    return of


def plan_address(code: str) -> str:
    """Return the address of a plan's page; a code may have any character."""
    return address(f"{HERE}/plan", {"code": code})


def archive_address(what: str, code: str) -> str:
    """Return the address of the preview of an archiving."""
    return address(f"{HERE}/archive", {"what": what, "code": code})


def plan(visit: Visit) -> Response:
    """Show one plan with its policy; without a code, the catalogue."""
    code = visit.query.get("code", "")
    return _plan(visit, code) if code else redirect(HERE)


def _plan(visit: Visit, code: str, refused: str = "") -> Response:
    _check(code)
    found = catalogue_page.plan(visit.context, code)
    return visit.page(
        "plan.html", 409 if refused else 200, found=found, row=found.row, refused=refused,
        running=_running(visit), archive_address=archive_address, count_max=COUNT_MAX,
        may_archive=_may_archive(visit), done=_done(visit),
    )  # fmt: skip


def _check(code: str) -> None:
    if not code.isprintable() or not 0 < len(code) <= CODE_MAX:
        raise NotKnown(f"nothing in the catalogue has the code {code[:60]!r}")


def archive(visit: Visit) -> Response:
    """Show what an archiving touches, or archive."""
    given = visit.form if visit.request.method == "POST" else visit.query
    code, written = given.get("code", ""), given.get("what", "")
    if not code or written not in list(What):
        return redirect(HERE)
    _check(code)
    what = What(written)
    if visit.request.method == "POST":
        return _archive(visit, what, code)
    if archiving.archived_at(visit.context, what, code) is not None:
        return _refused(visit, what, code, f"{what} {code!r} is archived already")
    return _preview(visit, what, code, str(uuid4()))


def _preview(
    visit: Visit, what: What, code: str, key: str, fault: dict[str, str] | None = None
) -> Response:
    found = catalogue_page.plan(visit.context, code) if what is What.PLAN else None
    reduction = None if found else catalog.coupon(visit.context.database, code)
    return visit.page(
        "archive.html", 422 if fault else 200, what=what.value, code=code, found=found,
        coupon=reduction, key=key, fault=fault or {}, values=visit.form, running=_running(visit),
        count_max=COUNT_MAX, back=_page_of(what, code),
    )  # fmt: skip


def _page_of(what: What, code: str) -> str:
    return plan_address(code) if what is What.PLAN else HERE


def _archive(visit: Visit, what: What, code: str) -> Response:
    key = visit.form.get("key", "")
    if not KEY.fullmatch(key):
        raise Stopped(422, "old_form")
    assert visit.person is not None  # noqa: S101 - the route needs an action
    try:
        by = visit.actor
    except InvalidValue as refused:
        return _preview(visit, what, code, key, {"reason": refused.said})
    try:
        archiving.archive(visit.context, what, code, by, f"api:console:{visit.person.id}:{key}")
    except IllegalMove as refused:
        return _refused(visit, what, code, str(refused))
    shown = _page_of(what, code)
    return redirect(f"{shown}{'&' if '?' in shown else '?'}done=archive")


def _refused(visit: Visit, what: What, code: str, said: str) -> Response:
    """Show the state as it is now, with the refusal."""
    if what is What.PLAN:
        return _plan(visit, code, said)
    raise BillingError(said)
