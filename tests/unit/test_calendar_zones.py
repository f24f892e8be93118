"""Timezones by name, anchors from instants, and the place of a wall time on the time line."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.walltime import ScheduleError, local_anchor, parse_timezone, place

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize("name", ["Asia/Jakarta", "America/New_York", "UTC"])
def test_iana_names_are_known(name: str) -> None:
    """A listed zone is read as that zone."""
    assert parse_timezone(name) is ZoneInfo(name)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("asia/jakarta", "Asia/Jakarta"),
        ("Asia/Jakata", "Asia/Jakarta"),
        ("Jakarta", "Asia/Jakarta"),
        ("WIB", "Asia/Jakarta"),
        ("WITA", "Asia/Makassar"),
        ("New York", "America/New_York"),
    ],
)
def test_misspelt_timezones_are_answered_with_the_closest(name: str, guess: str) -> None:
    """A typo, a city alone or an Indonesian abbreviation is answered with the zone it means."""
    with pytest.raises(ScheduleError) as refused:
        parse_timezone(name)

    assert str(refused.value) == f'timezone "{name}" is not known: did you mean "{guess}"?'


@pytest.mark.parametrize(
    "name", ["", "UTC+7", "+07:00", "../etc/passwd", "/etc/localtime", "localtime", "a\0b\nc"]
)
def test_an_unknown_timezone_is_refused_with_an_example(name: str) -> None:
    """Offsets, paths and the host's own zone are no timezone; no file is opened for them."""
    with pytest.raises(ScheduleError, match=r"^timezone .* is not known: ") as refused:
        parse_timezone(name)

    assert "\n" not in str(refused.value)


def test_leap_second_zones_are_refused() -> None:
    """The "right/" zones that some hosts carry would move due dates by half a minute."""
    with pytest.raises(ScheduleError):
        parse_timezone("right/Asia/Jakarta")


def test_local_anchor_is_naive_and_in_whole_seconds() -> None:
    """An instant becomes the wall clock that a person in the timezone reads, without fractions."""
    instant = datetime(2026, 1, 31, 2, 0, 5, 999_999, tzinfo=UTC)

    anchor = local_anchor(instant, ZoneInfo("Asia/Jakarta"))

    assert anchor == datetime.fromisoformat("2026-01-31T09:00:05")
    assert anchor.tzinfo is None


def test_local_anchor_in_the_second_pass_of_a_fold_has_no_fold() -> None:
    """Anchors of both passes are the same value, so that calendars compare and cache alike."""
    first, second = (
        local_anchor(datetime(2026, 11, 1, hour, 30, tzinfo=UTC), NEW_YORK) for hour in (5, 6)
    )

    assert (first, first.fold) == (second, second.fold)


def test_local_anchor_of_a_naive_time_is_refused() -> None:
    """A time without an offset could be anywhere; it is not taken for UTC or local time."""
    with pytest.raises(ScheduleError, match="needs an offset"):
        local_anchor(datetime.fromisoformat("2026-01-31T09:00"), NEW_YORK)


@pytest.mark.parametrize(
    ("wall", "instant"),
    [
        ("2026-03-08T01:59:59", "2026-03-08T06:59:59+00:00"),
        ("2026-03-08T02:00:00", "2026-03-08T07:00:00+00:00"),
        ("2026-03-08T02:59:59.5", "2026-03-08T07:00:00+00:00"),
        ("2026-03-08T03:00:00", "2026-03-08T07:00:00+00:00"),
        ("2026-11-01T00:59:59", "2026-11-01T04:59:59+00:00"),
        ("2026-11-01T01:00:00", "2026-11-01T05:00:00+00:00"),
        ("2026-11-01T01:59:59", "2026-11-01T05:59:59+00:00"),
        ("2026-11-01T02:00:00", "2026-11-01T07:00:00+00:00"),
    ],
)
def test_wall_times_are_placed_after_a_gap_and_first_in_a_fold(wall: str, instant: str) -> None:
    """Every wall time has one place: the end of its gap, or the first pass of its fold."""
    placed = place(datetime.fromisoformat(wall), NEW_YORK)

    assert placed.isoformat() == instant
