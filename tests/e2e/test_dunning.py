"""Story: a wallet that is empty on the due date."""

from tests.e2e.world import World


def test_a_decline_is_recovered_by_a_top_up_and_another_is_given_up(engine: World) -> None:
    """
    Nothing is sent to a wallet that is short; one is topped up and pays, one never is and ends.

    The ladder of two, five, seven and seven days ends when it was said to.
    """
    engine.plan("gold")
    engine.join("eko", "gold", cash=50_000)
    engine.join("fitri", "gold", cash=0)
    engine.until("2026-02-28T10:00:00+07:00")
    assert dict(engine.rows("SELECT customer_id, status FROM subscriptions")) == {
        "eko": "past_due", "fitri": "canceled",
    }  # fmt: skip
    given_up_at = engine.value(
        "SELECT to_char(closed_at AT TIME ZONE 'Asia/Jakarta', 'YYYY-MM-DD') FROM invoices"
        " WHERE status = 'uncollectible'"
    )
    assert given_up_at == "2026-02-22", "day 21, and the last step was open for a day"

    engine.until("2026-03-02T12:00:00+07:00")
    assert engine.value("SELECT shortfall FROM invoices WHERE status = 'open'") == 50_000
    engine.pretend.top_up("eko", 60_000)
    engine.until("2026-03-03T12:00:00+07:00")
    assert engine.value("SELECT status FROM subscriptions WHERE customer_id = 'eko'") == "active"
    tries = engine.rows("SELECT customer_id, count(*) FROM charges GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in tries] == [("eko", 3), ("fitri", 1)]
    missed = "SELECT count(*) FROM events WHERE kind = 'dunning.step_missed' AND customer_id = :c"
    assert engine.value(missed, c="eko") == 0, "no step is spent while a wallet is waited for"
    assert engine.value(missed, c="fitri") == 3, "and the fourth ended it"
    engine.reckon()
