"""When a delivery is attempted again, and when an endpoint is disabled."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.event_kinds import KINDS, checked_types
from billing.domain.webhooks import (
    FAILING_MAX,
    RETRY_AFTER,
    Answer,
    DeliveryStatus,
    Result,
    disabled_cause,
    failing_since,
    result,
)

NOW = datetime(2026, 1, 31, 2, tzinfo=UTC)
GOOD, BAD, GONE = Answer(204, None), Answer(500, "http_500"), Answer(410, "http_410")


def test_retries_follow_the_specification() -> None:
    """5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h, then no more."""
    waits = []
    for attempts in range(1, len(RETRY_AFTER) + 1):
        found = result(BAD, attempts, NOW, 0)
        assert found.status is DeliveryStatus.PENDING
        assert found.next_attempt_at is not None
        waits.append((found.next_attempt_at - NOW).total_seconds())
    hours = [seconds / 3600 for seconds in waits[3:]]

    assert waits[:3] == [5, 300, 1800]
    assert hours == [2, 5, 10, 14, 20, 24]
    assert result(BAD, 10, NOW, 0) == Result(DeliveryStatus.FAILED, None)


@pytest.mark.parametrize(("jitter", "seconds"), [(-10, 270), (10, 330), (0, 300), (99, 330)])
def test_jitter_spreads_retries_by_a_tenth(jitter: int, seconds: int) -> None:
    """Deliveries that failed together are not repeated together."""
    assert result(BAD, 2, NOW, jitter).next_attempt_at == NOW + timedelta(seconds=seconds)


def test_success_at_any_attempt_ends_it() -> None:
    """Also at the last one."""
    for attempts in range(1, 12):
        assert result(GOOD, attempts, NOW, 0) == Result(DeliveryStatus.SUCCEEDED, None)


def test_an_endpoint_fails_since_its_first_failure() -> None:
    """One success among a group ends it."""
    before = NOW - timedelta(days=1)
    assert failing_since([BAD, BAD], None, NOW) == NOW
    assert failing_since([BAD], before, NOW) == before
    assert failing_since([BAD, GOOD], before, NOW) is None


def test_an_endpoint_is_disabled_by_410_or_after_five_days() -> None:
    """And says why."""
    assert disabled_cause([GOOD, GONE], None, NOW) == "the endpoint answered 410 Gone"
    assert disabled_cause([BAD], NOW - FAILING_MAX, NOW) == "every attempt failed for 5 days"
    almost = NOW - FAILING_MAX + timedelta(seconds=1)
    assert disabled_cause([BAD], almost, NOW) is None
    assert disabled_cause([GOOD], None, NOW) is None


def test_event_types_are_kinds_or_nouns() -> None:
    """A typing error would be an endpoint that never receives anything."""
    assert checked_types(["invoice.paid", "charge.*", "invoice.paid"]) == [
        "charge.*", "invoice.paid"
    ]  # fmt: skip
    assert checked_types([]) == []
    with pytest.raises(InvalidValue, match=r"did you mean invoice\.paid"):
        checked_types(["invoice.payed"])
    for wrong in ("*", "invoice", "invoice.", "x.*", ""):
        with pytest.raises(InvalidValue):
            checked_types([wrong])
    with pytest.raises(InvalidValue, match="at most"):
        checked_types(["invoice.paid"] * 101)
    assert all(meaning and "|" not in meaning for meaning in KINDS.values())
