"""Halving: failing rows are found, the others are done, and other errors are raised."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from billing.domain.errors import InvalidValue, NotConfigured
from billing.services.operating import held_rows


class Work:
    """A batch that fails when a bad row is in it; what was done, and how often it was tried."""

    def __init__(self, bad: set[int], error: Exception | None = None) -> None:
        self.bad, self.error = bad, error or ValueError("bad")
        self.done: list[int] = []
        self.held: list[int] = []
        self.calls = 0

    def __call__(self, part: Sequence[int]) -> int:
        """Do a part, or fail."""
        self.calls += 1
        if self.bad & set(part):
            raise self.error
        self.done += part
        return len(part)

    def hold(self, row: int, error: Exception) -> None:
        """Note which one was held."""
        assert error is self.error
        self.held.append(row)


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=8))
def test_the_rows_that_fail_are_held_and_each_other_is_done_once(count: int, bad: set[int]) -> None:
    """It works for every batch and every place of bad rows; the returned counts add up."""
    work = Work(bad & set(range(count)))
    returned = held_rows.isolate(range(count), work, work.hold)

    assert sorted(work.held) == sorted(work.bad)
    assert work.done == [row for row in range(count) if row not in work.bad]
    assert sum(returned) == len(work.done)


def test_a_batch_without_a_bad_row_costs_one_try() -> None:
    """A batch without bad rows costs one call."""
    work = Work(set())
    assert held_rows.isolate(range(1_000), work, work.hold) == [1_000]
    assert work.calls == 1


def test_a_bad_row_of_a_thousand_costs_a_few_calls() -> None:
    """Each halving is two calls: twenty for a thousand."""
    work = Work({617})
    held_rows.isolate(range(1_000), work, work.hold)
    assert work.calls <= 21


def test_a_row_alone_is_tried_once_more_before_it_is_held() -> None:
    """A failure that another process caused succeeds the second time."""
    errors = iter([ValueError("by the way")])

    def work(part: Sequence[int]) -> int:
        for error in errors:
            raise error
        return len(part)

    assert held_rows.isolate([1], work, lambda _row, _error: pytest.fail("held")) == [1]


def test_an_error_of_every_row_holds_only_a_few_rows() -> None:
    """A bug of the code is raised, and the tick fails visibly."""
    work = Work(set(range(500)))
    with pytest.raises(ValueError, match="bad"):
        held_rows.isolate(range(500), work, work.hold)
    assert len(work.held) == held_rows.HELD_AT_ONCE_MAX


def of_database(kind: type[Exception], original: Exception) -> Exception:
    """An error as SQLAlchemy raises it, with a statement and parameters that must stay hidden."""
    return kind("INSERT INTO wallets", {"token": "c15d437b56b918abaa3951b0beb48a57"}, original)


@pytest.mark.parametrize(
    "error",
    [
        of_database(OperationalError, Exception("deadlock detected")),
        of_database(ProgrammingError, Exception("no such table")),
        OSError(28, "No space left on device"),
        MemoryError(),
        RuntimeError("cannot schedule new futures after shutdown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_about_everybody_is_raised_at_once(error: Exception) -> None:
    """An absent database, a full disk or the end of the process hold no row."""
    work = Work({3}, error)
    with pytest.raises(type(error)):
        held_rows.isolate(range(10), work, work.hold)
    assert (work.calls, work.held) == (1, [])


@pytest.mark.parametrize(
    "error",
    [
        of_database(IntegrityError, Exception("violates check constraint")),
        of_database(DataError, Exception("value too long")),
        InvalidValue("too much"),
        NotConfigured("does not open"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        KeyError("name"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_about_a_row_holds_that_row(error: Exception) -> None:
    """A constraint violation, and an invalid value."""
    work = Work({3}, error)
    held_rows.isolate(range(10), work, work.hold)
    assert work.held == [3]


def test_a_reason_is_one_line_without_secrets() -> None:
    """The database's message without its detail, which has the row in it; nothing unprintable."""
    message = SimpleNamespace(message_primary='new row violates check "invoices_amount_check"')
    original = Exception("Failing row contains (c15d437b56b918abaa3951b0beb48a57)")
    original.diag = message  # type: ignore[attr-defined]
    said = held_rows.one_line(of_database(IntegrityError, original))
    assert said == 'Exception: new row violates check "invoices_amount_check"'

    told = held_rows.one_line(ValueError("call 6281234567890\n\x1b[2Jat once" + "!" * 1_000))
    assert "6281234567890" not in told
    assert told.isprintable()
    assert len(told) <= held_rows.WHY_MAX


def test_of_rows_worked_on_one_by_one_each_that_fails_is_held_and_a_bug_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same promise where each row has a transaction of its own."""
    held: list[int] = []
    monkeypatch.setattr(held_rows, "set_aside", lambda _c, _k, row, _e: held.append(row))

    def work(row: int) -> None:
        if row in bad:
            raise ValueError("bad")
        done.append(row)

    done: list[int] = []
    bad = {2, 5}
    held_rows.each(None, None, range(8), work)  # type: ignore[arg-type]
    assert (held, done) == ([2, 5], [0, 1, 3, 4, 6, 7])

    held.clear()
    bad = set(range(100))
    with pytest.raises(ValueError, match="bad"):
        held_rows.each(None, None, range(100), work)  # type: ignore[arg-type]
    assert len(held) == held_rows.HELD_AT_ONCE_MAX


class Away(Exception):
    """The driver's error for a row that another session locks."""

    sqlstate = "55P03"


def test_a_locked_row_is_passed_over_and_a_locked_table_is_raised() -> None:
    """No row is held for a lock; when all are locked, the error is raised."""
    work = Work({3, 7}, of_database(OperationalError, Away("canceled")))
    passed: list[int] = []
    held_rows.isolate(range(10), work, work.hold, lambda row, _error: passed.append(row))

    assert (passed, work.held) == ([3, 7], [])
    assert sorted(work.done) == [0, 1, 2, 4, 5, 6, 8, 9]

    work.bad = set(range(100))
    with pytest.raises(OperationalError):
        held_rows.isolate(range(100), work, work.hold)
