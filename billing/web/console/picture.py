"""Picture: a subscription's timeline as marks of an SVG, placed by time.

Numbers and names are in the table below the picture; a mark has only a title.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from billing.services.reading.subscription_page import Moment
from billing.web.console.display import Display
from billing.web.console.labels import tone

WIDTH, MARGIN = 1000, 24
TICKS_MAX = 7
LANES = {"period": 30, "change": 30, "pause": 30, "charge": 66, "refund": 96}
AHEAD_LANE = 126
SPAN_MIN = 4
"""The shortest span is still seen."""
GAP = 1
"""Between spans that follow each other, which would look like one."""
SHORTEST = timedelta(hours=1)
DATE_WIDTH = 42
"""Half of a date's width: those at the ends are kept inside."""


class Mark(NamedTuple):
    """A mark: where it is, and the moment that it stands for."""

    shape: str
    x: float
    y: int
    width: float
    tone: str
    moment: Moment


class Tick(NamedTuple):
    """A date on the axis."""

    x: float
    text_x: float
    text: str


class Picture(NamedTuple):
    """The marks, the dates, and the place of now."""

    marks: Sequence[Mark]
    ticks: Sequence[Tick]
    now_x: float


def draw(moments: Sequence[Moment], now: datetime, display: Display) -> Picture | None:
    """Place moments; None when there is nothing to show."""
    if not moments:
        return None
    instants = [each.at for each in moments] + [each.until for each in moments if each.until]
    first, last = min(*instants, now), max(*instants, now)
    scale = _Scale(first, max(last, first + SHORTEST))
    return Picture(list(_marks(moments, scale)), list(_ticks(scale, display)), scale.x(now))


class _Scale(NamedTuple):
    first: datetime
    last: datetime

    def x(self, at: datetime) -> float:
        share = (at - self.first) / (self.last - self.first)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def _marks(moments: Iterable[Moment], scale: _Scale) -> Iterator[Mark]:
    for each in moments:
        x, y = scale.x(each.at), LANES.get(each.kind, AHEAD_LANE)
        if each.until is not None:
            width = round(max(scale.x(each.until) - x - GAP, SPAN_MIN), 1)
            yield Mark("span", x, y, width, tone(each.status), each)
        else:
            shape = "planned" if each.ahead else each.kind
            yield Mark(shape, x, y, 0, tone(each.status), each)


def _ticks(scale: _Scale, display: Display) -> Iterator[Tick]:
    """Yield dates at equal distances, in the viewer's zone; with the time where days repeat."""
    place = ZoneInfo(display.timezone)
    step = (scale.last - scale.first) / (TICKS_MAX - 1)
    for number in range(TICKS_MAX):
        at = scale.first + number * step
        x = scale.x(at)
        text_x = min(max(x, DATE_WIDTH), WIDTH - DATE_WIDTH)
        form = "%Y-%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M"
        yield Tick(x, text_x, f"{at.astimezone(place):{form}}")
