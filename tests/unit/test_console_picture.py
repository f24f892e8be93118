"""The picture of a subscription's timeline."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.services.reading.subscription_page import Moment
from billing.web.console import picture
from billing.web.console.display import Display

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)
DISPLAY = Display()


def period(at: datetime, length: timedelta) -> Moment:
    """Build a paid period."""
    return Moment("period", at, at + length, "paid", 1_000, None, None, ahead=False)


@pytest.mark.parametrize("length", [
    timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=31),
])  # fmt: skip
def test_dates_below_the_picture_differ(length: timedelta) -> None:
    """Plans by the hour have the time beside the day; no two marks of the axis are the same."""
    moments = [period(NOW - number * length, length) for number in range(6)]
    drawn = picture.draw(moments, NOW, DISPLAY)
    assert drawn is not None
    texts = [tick.text for tick in drawn.ticks]
    assert len(set(texts)) == len(texts)
    assert [tick.x for tick in drawn.ticks] == sorted(tick.x for tick in drawn.ticks)


def test_periods_that_follow_each_other_are_seen_apart() -> None:
    """A span ends before the next one begins, and stays inside the picture."""
    length = timedelta(days=31)
    drawn = picture.draw([period(NOW + n * length, length) for n in range(12)], NOW, DISPLAY)
    assert drawn is not None
    for one, following in zip(drawn.marks, drawn.marks[1:], strict=False):
        assert one.x + one.width < following.x
    assert drawn.marks[-1].x + drawn.marks[-1].width <= picture.WIDTH - picture.MARGIN
