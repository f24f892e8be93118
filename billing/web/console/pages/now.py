"""*Now*: is the engine running, is money moving? And the kill switch."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from starlette.responses import Response

from billing.domain.errors import IllegalMove
from billing.domain.filters import Counted
from billing.domain.people import Action
from billing.services.operating import kill_switch
from billing.services.reading import now, today
from billing.web.console import live
from billing.web.console.display import Display
from billing.web.console.filtering import counted_address
from billing.web.console.live import Live
from billing.web.console.pages.attention import address_of
from billing.web.console.visits import PREFIX, Visit, redirect

BAR_HEIGHT, BAR_STEP = 120, 12
"""Of the picture of the hours, in its own units: its height, and an hour."""
MARKED_EVERY = 4
"""Hours from one time below the picture to the next: six of them fit a narrow screen."""
DONE = frozenset({"stopped", "stopped-before", "started", "started-before"})


class Bar(NamedTuple):
    """The bars of one hour: what was charged today, and yesterday."""

    x: int
    height: int
    yesterday_height: int
    hour: today.Hour


def show(visit: Visit) -> Response:
    """Show the page, or with `part` only what changes by itself."""
    if "part" in visit.query:
        return live.answer(visit, Action.SEE_ENGINE, lambda *given: _page("now_live.html", *given))
    return _page("now.html", visit, live.read(visit), today.counted(visit.context))


def _page(template: str, visit: Visit, found: Live, by_hour: today.Today | None = None) -> Response:
    situation = found.situation
    assert visit.person is not None  # noqa: S101 - the route needs an action
    done = visit.query.get("done", "")
    return visit.page(
        template, situation=situation, queues=found.queues,
        may_stop=visit.person.may(Action.STOP_CHARGING),
        may_start=visit.person.may(Action.START_CHARGING),
        done=done if done in DONE else "", gateway_url=visit.context.settings.doku_base_url,
        is_production=visit.context.settings.production,
        test_clock=visit.context.settings.test_clock, rows=_rows(situation),
        attention_of=address_of, by_hour=by_hour, bars=bars(by_hour.hours if by_hour else ()),
        bar_height=BAR_HEIGHT, highest=highest(by_hour.hours if by_hour else ()),
        marked_hours=marked_hours(situation.day_begins_at, visit.display),
        chart_width=today.HOURS * BAR_STEP, of_hour=of_hour,
    )  # fmt: skip


def of_hour(name: str, hour: today.Hour, days_ago: int = 0) -> str:
    """Return the address of what happened in an hour of today, or in the same some days ago."""
    begin = hour.begins_at - days_ago * today.DAY
    return counted_address(PREFIX, Counted(name), begin, before=(begin + today.HOUR).isoformat())


def bars(hours: Sequence[today.Hour]) -> Sequence[Bar]:
    """Return the bars of the hours of today, each beside yesterday's; the highest fills it."""
    full = highest(hours)

    def scaled(amount: int) -> int:
        return max(amount * BAR_HEIGHT // full, 1) if amount else 0

    return [
        Bar(number * BAR_STEP + 1, scaled(each.amount), scaled(each.amount_yesterday), each)
        for number, each in enumerate(hours)
    ]


def highest(hours: Sequence[today.Hour]) -> int:
    """Return the highest amount of an hour of today or yesterday: the top of the picture."""
    return max((max(each.amount, each.amount_yesterday) for each in hours), default=0)


def marked_hours(midnight: datetime, display: Display) -> list[str]:
    """Return the times below the picture, in the viewer's zone; each begins its part of it."""
    place = ZoneInfo(display.timezone)
    begins = (midnight + number * today.HOUR for number in range(0, today.HOURS, MARKED_EVERY))
    return [f"{each.astimezone(place):%H:%M}" for each in begins]


def _rows(situation: now.Situation) -> dict[str, str]:
    """Return the address of the list with exactly the rows of each number."""
    since, at = situation.day_begins_at, situation.at
    begins = {
        Counted.DUE: at, Counted.TO_OPEN: at, Counted.UNRESOLVED: at, Counted.UNSETTLED: at,
        Counted.SUCCEEDED: since, Counted.DECLINED: since, Counted.UNSENT: since,
        Counted.REFUNDED: since,
    }  # fmt: skip
    return {name.value: counted_address(PREFIX, name, begin) for name, begin in begins.items()}


def stop_charging(visit: Visit) -> Response:
    """Stop charging in the person's name."""
    answer = kill_switch.stop_charging(visit.context, visit.actor)
    return redirect(f"{PREFIX}/now?done=stopped{'-before' if answer['already'] else ''}")


def start_charging(visit: Visit) -> Response:
    """Start charging in the person's name, unless it was stopped again since the page was read."""
    stopped_at = now.stopped_at(visit.context)
    if stopped_at is not None and visit.form.get("stopped_at", "") != stopped_at.isoformat():
        raise IllegalMove("charging was stopped again since you read this page: see who and why")
    answer = kill_switch.start_charging(visit.context, visit.actor)
    return redirect(f"{PREFIX}/now?done=started{'-before' if answer['already'] else ''}")
