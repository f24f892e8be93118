"""*Failures*: why payments fail, whether asking again helps, and what another policy would do."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from starlette.responses import Response

from billing.domain.errors import InvalidValue, NotKnown
from billing.domain.filters import CatalogStatus, Counted, PlanFilter
from billing.domain.instants import HOME
from billing.domain.outcomes import Fault
from billing.domain.paging import Page
from billing.services.reading import catalog, failures, lists
from billing.services.reading.failures import PERIODS, Failures
from billing.simulation.comparing import Figures
from billing.web.console import policies
from billing.web.console.filtering import NAME_MAX, NO_CODE, address
from billing.web.console.labels import N_
from billing.web.console.visits import PREFIX, Visit

HERE = f"{PREFIX}/failures"
HEIGHT, STEP, GAP = 120, 10, 2
"""Of the picture, in its own units: its height, a day, and the space between two days."""
FAULTS = [each.value for each in Fault]
PLANS_MAX = 200
DEFAULT = 30
NAMES = {
    policies.PLAN: N_("The plan’s policy"),
    policies.BLIND: N_("The same, without reading the balance first"),
    policies.STANDARD: N_("The standard policy"),
    policies.OWN: N_("Your steps"),
}


class Part(NamedTuple):
    """The declines of one class in the bar of a day."""

    on: date
    x: int
    y: int
    height: int
    fault: str
    declines: int


class Compared(NamedTuple):
    """Policies on simulated wallets, for one plan; or what is wrong, by field."""

    plan: str
    own: str
    figures: Sequence[Figures]
    wrong: dict[str, str]
    codes: Sequence[str]


def show(visit: Visit) -> Response:
    """Show the numbers of the chosen days, and the comparison for the chosen plan."""
    written = visit.query.get("days", "")
    known = {str(days): days for days in PERIODS}
    wrong = N_("Choose 7, 30 or 90 days.") if written and written not in known else ""
    days = known.get(written, DEFAULT)
    found = failures.read(visit.context, days)
    compared = _compared(visit)
    return visit.page(
        "failures.html", 422 if wrong or compared.wrong else 200, found=found, days=days,
        wrong=wrong, periods=PERIODS, parts=parts(found), height=HEIGHT, width=days * STEP,
        bar_width=STEP - GAP, faults=[each for each in FAULTS if each in found.faults],
        declines=_declines(found), ended_address=_ended(found), compared=compared, names=NAMES,
        wallets=policies.WALLETS, months=policies.MONTHS, steps_max=policies.STEPS_MAX,
        of_days=lambda count: address(HERE, {"days": str(count)}),
    )  # fmt: skip


def _compared(visit: Visit) -> Compared:
    wanted = PlanFilter(status=CatalogStatus.ACTIVE)
    offered = lists.plans(visit.context.database, wanted, Page(PLANS_MAX)).rows
    plan, own = (visit.query.get(name, "").strip() for name in ("plan", "steps"))
    wrong: dict[str, str] = {}
    figures: Sequence[Figures] = ()
    if len(own) > policies.STEPS_MAX or not own.isprintable():
        wrong["steps"] = N_("Steps have at most 200 characters.")
    if len(plan) > NAME_MAX or not plan.isprintable():
        wrong["plan"] = N_("A customer’s id and a plan’s code have at most 50 characters.")
    if plan and not wrong:
        try:
            row = catalog.plan(visit.context.database, plan)
            terms = policies.Terms(
                row.retries, tuple(sorted(row.retries_for.items())), row.declines_max,
                row.attempts_max, row.days_max,
            )  # fmt: skip
            figures = policies.compare(terms, own)
        except NotKnown as refused:
            wrong["plan"] = refused.said
        except InvalidValue as refused:
            wrong["steps"] = refused.said
    return Compared(plan, own, figures, wrong, [each.code for each in offered])


def _declines(found: Failures) -> Callable[..., str]:
    """Return a function that gives the address of declined charges, of a day or of all days."""

    def of(fault: str = "", code: str | None = None, on: date | None = None) -> str:
        begin, end = found.since, found.until
        if on is not None:
            begin, end = _midnight(on), _midnight(on + timedelta(days=1))
        return address(
            f"{PREFIX}/charges",
            {"of": Counted.FAILED.value, "at": begin.isoformat(), "before": end.isoformat(),
             "fault": fault, "code": NO_CODE if code == "" else code or ""},
        )  # fmt: skip

    return of


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time(), HOME)


def _ended(found: Failures) -> str:
    span = {"at": found.since.isoformat(), "before": found.until.isoformat()}
    return address(f"{PREFIX}/invoices", {"of": Counted.GIVEN_UP.value, **span})


def parts(found: Failures) -> list[Part]:
    """Return the parts of the bars; the highest day fills the picture, and none is invisible."""
    highest = max((each.declined.events for each in found.days), default=0)
    made = []
    for number, day in enumerate(found.days):
        top = HEIGHT
        for fault in FAULTS:
            declines = day.by_fault[fault].events if fault in day.by_fault else 0
            if declines:
                height = max(declines * HEIGHT // highest, 1)
                top = max(top - height, 0)
                made.append(Part(day.on, number * STEP + GAP // 2, top, height, fault, declines))
    return made
