"""Webhooks: the life of a delivery, when it is attempted again, and when an endpoint is disabled.

This module knows neither HTTP nor rows.

```text
delivery:  pending ──> succeeded     any 2xx
           pending ──> failed        the last attempt failed
           pending ──> canceled      its endpoint was disabled
           failed, canceled, succeeded ──> pending     resent or replayed by an operator
```
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class DeliveryStatus(StrEnum):
    """The status of one event's delivery to one endpoint."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Waits after a failed attempt (Standard Webhooks 1.0.0, section "Deliverability")."""
JITTER_PERCENT_MAX = 10
FAILING_MAX = timedelta(days=5)
"""How long an endpoint may fail without one success before it is disabled."""
PREVIOUS_SECRET = timedelta(hours=24)
"""How long the secret before a rotation also signs."""
KEPT = timedelta(days=90)
"""How long a delivery stays listed."""
GONE = 410
"""HTTP 410 Gone: the receiver wants no more webhooks (Standard Webhooks 1.0.0)."""
DISABLED_GONE = "the endpoint answered 410 Gone"
DISABLED_FAILING = f"every attempt failed for {FAILING_MAX.days} days"
DISABLED_BY_OPERATOR = "disabled by an operator"
DELETED = "being deleted"


class Answer(NamedTuple):
    """What became of one attempt: the HTTP status if there was one, and the error if it failed."""

    status_code: int | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver accepted the event."""
        return self.error is None


class Result(NamedTuple):
    """What an attempt means for its delivery."""

    status: DeliveryStatus
    next_attempt_at: datetime | None


def result(answer: Answer, attempts: int, now: datetime, jitter_percent: int) -> Result:
    """Decide what becomes of a delivery after attempt number `attempts`.

    `jitter_percent`, from -10 to 10, spreads the retries of many deliveries that failed together.
    """
    if answer.succeeded:
        return Result(DeliveryStatus.SUCCEEDED, None)
    if attempts > len(RETRY_AFTER):
        return Result(DeliveryStatus.FAILED, None)
    jitter = max(-JITTER_PERCENT_MAX, min(JITTER_PERCENT_MAX, jitter_percent))
    return Result(DeliveryStatus.PENDING, now + RETRY_AFTER[attempts - 1] * (100 + jitter) / 100)


def failing_since(answers: list[Answer], since: datetime | None, now: datetime) -> datetime | None:
    """Return since when an endpoint only fails; None when one attempt of a group succeeded."""
    if any(answer.succeeded for answer in answers):
        return None
    return since or now


def disabled_cause(answers: list[Answer], since: datetime | None, now: datetime) -> str | None:
    """Return why an endpoint is disabled after a group of attempts; None when it is not."""
    if any(answer.status_code == GONE for answer in answers):
        return DISABLED_GONE
    if since is not None and now - since >= FAILING_MAX:
        return DISABLED_FAILING
    return None
