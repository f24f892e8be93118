"""A figure that viewers share for a minute."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from billing.services.recent import KEPT, Recent

AT = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_value_is_shared_for_a_minute_of_real_time_and_of_billing_time() -> None:
    """Also when a test clock stands still, moves far ahead, or is another one."""
    seconds = [0.0]
    recent: Recent[str] = Recent(lambda: seconds[0])
    assert recent.known(AT) is None
    assert recent.get(AT, lambda: "first") == (AT, "first")
    later = AT + KEPT - timedelta(seconds=1)
    assert recent.get(later, lambda: "unread") == (AT, "first")
    for moved in (AT + KEPT, AT - timedelta(seconds=1)):
        assert recent.known(moved) is None
    seconds[0] = KEPT.total_seconds()
    assert recent.get(AT, lambda: "second") == (AT, "second")


def test_only_the_first_thread_reads() -> None:
    """However many ask at once."""
    recent: Recent[int] = Recent()
    reads: list[int] = []
    ready = Barrier(4)

    def read() -> int:
        reads.append(1)
        return len(reads)

    def ask() -> None:
        ready.wait()
        assert recent.get(AT, read) == (AT, 1)

    threads = [Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(reads) == 1


def test_a_failure_is_not_kept() -> None:
    """The next one who asks reads again."""
    recent: Recent[int] = Recent()
    with pytest.raises(ZeroDivisionError):
        recent.get(AT, lambda: 1 // 0)
    assert recent.get(AT, lambda: 2) == (AT, 2)
