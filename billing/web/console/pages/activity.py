"""*Activity*: who did what, when and why, by person, kind and day."""

from datetime import date
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from billing.domain.errors import InvalidValue
from billing.domain.paging import Page
from billing.domain.people import Action, Person
from billing.services.reading import activity
from billing.services.reading.activity import Asked, Group
from billing.store.queries.listing_rows import Event
from billing.web.console.filtering import YEARS, address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Visit

PAGE = 50
ENGINE = frozenset({"engine.charging_stopped", "engine.charging_started"})
HERE = f"{PREFIX}/activity"
NAME_MAX = 100


class Place(NamedTuple):
    """The page of what an event of no customer is about, with its name, or words for it."""

    address: str
    name: str
    words: str


def about(person: Person, event: Event) -> Place | None:
    """Return the page of what an event is about, if it has one that this person may see."""
    given = {name: str(value) for name, value in event.details.items() if value}
    group = event.type.partition(".")[0]
    if event.customer is not None:
        return None
    if group == "plan" and "plan" in given:
        code = quote(given["plan"], safe="")
        return Place(f"{PREFIX}/catalogue/plan?code={code}", given["plan"], "")
    if group == "coupon" and "coupon" in given:
        return Place(f"{PREFIX}/catalogue", given["coupon"], "")
    if group == "webhook" and "webhook" in given:
        address = f"{PREFIX}/webhooks"
        gone = event.type == "webhook.deleted"
        return Place(address if gone else f"{address}/{given['webhook']}", "", N_("endpoint"))
    if group == "approval" and "approval" in given:
        return Place(f"{PREFIX}/approvals/{given['approval']}", "", N_("Approval"))
    if group in {"person", "key"}:
        return _of_access(person, group, given)
    return Place(f"{PREFIX}/now", "", N_("Now")) if event.type in ENGINE else None


def _of_access(person: Person, group: str, given: dict[str, str]) -> Place | None:
    if not person.may(Action.SEE_ACCESS):
        return None
    if group == "person" and "person" in given:
        address = f"{PREFIX}/access/people/{given['person']}"
        return Place(address, given.get("person_name", ""), N_("person"))
    return Place(f"{PREFIX}/access", given.get("key_name", ""), N_("Access"))


def show(visit: Visit) -> Response:
    """Show one page of events; what is wrong with the filter is said at its field."""
    typed = {name: visit.query.get(name, "").strip() for name in ("actor", "kind", "day")}
    typed["machines"] = "yes" if visit.query.get("machines") == "yes" else ""
    asked, wrong = _asked(typed, visit.display.timezone)
    after = visit.query.get("after") or None
    found = None
    if asked is not None:
        try:
            found = activity.read(visit.context, asked, Page(PAGE, after))
        except InvalidValue as refused:
            wrong["after"] = refused.said

    def following(cursor: str) -> str:
        return address(HERE, {**typed, "after": cursor})

    assert visit.person is not None  # noqa: S101 - the route needs an action
    return visit.page(
        "activity.html", 422 if wrong else 200, found=found, typed=typed, wrong=wrong,
        groups=list(Group), names=found.actors if found else [], after=following,
        first=address(HERE, typed) if after else "", is_filtered=any(typed.values()),
        about=partial(about, visit.person),
        limited_to=found.day if found and not typed["day"] else None,
    )  # fmt: skip


def _asked(typed: dict[str, str], timezone: str) -> tuple[Asked | None, dict[str, str]]:
    wrong: dict[str, str] = {}
    day, group = None, None
    if len(typed["actor"]) > NAME_MAX or not typed["actor"].isprintable():
        wrong["actor"] = N_("A name has at most 100 characters.")
    if typed["day"]:
        try:
            day = date.fromisoformat(typed["day"])
        except ValueError:
            wrong["day"] = N_("This is no date; write it as 2026-01-31.")
        else:
            if day.year not in YEARS:
                wrong["day"] = N_("This is no date; write it as 2026-01-31.")
    if typed["kind"]:
        try:
            group = Group(typed["kind"])
        except ValueError:
            wrong["kind"] = N_("This kind does not exist.")
    if wrong:
        return None, wrong
    return Asked(typed["actor"] or None, group, day, bool(typed["machines"]), timezone), wrong
