"""*Activity*: who did what, when and why, by person, kind and day."""

from datetime import date

from starlette.responses import Response

from billing.domain.errors import InvalidValue
from billing.domain.paging import Page
from billing.services.reading import activity
from billing.services.reading.activity import Asked, Group
from billing.web.console.filtering import YEARS, address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Visit

PAGE = 50
HERE = f"{PREFIX}/activity"
NAME_MAX = 100


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

    return visit.page(
        "activity.html", 422 if wrong else 200, found=found, typed=typed, wrong=wrong,
        groups=list(Group), names=found.actors if found else [], after=following,
        first=address(HERE, typed) if after else "", is_filtered=any(typed.values()),
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
