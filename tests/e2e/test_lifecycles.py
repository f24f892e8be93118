"""Stories: a trial, a fixed term, and a pause over a month end, side by side in one world."""

from typing import Any

from tests.e2e.world import World


def told(engine: World, customer: str) -> tuple[str, list[str], list[bool]]:
    """Status, local dates of the periods, and which charges the gateway saw as a first payment."""
    [status] = engine.rows("SELECT status FROM subscriptions WHERE customer_id = :c", c=customer)
    starts = engine.rows(
        "SELECT to_char(period_start AT TIME ZONE 'Asia/Jakarta', 'MM-DD') FROM invoices"
        " WHERE customer_id = :c AND status = 'paid' ORDER BY period_index",
        c=customer,
    )
    payments: list[dict[str, Any]] = [
        row for row in engine.pretend.ledger()
        if (row["customer_id"], row["kind"]) == (customer, "payment")
    ]  # fmt: skip
    return status[0], [row[0] for row in starts], [row["first_payment"] for row in payments]


def test_a_trial_a_term_and_two_pauses_go_as_they_were_sold(engine: World) -> None:
    """
    A trial converts at its end, which is its anchor, and one that is canceled costs nothing.

    A term of three ends after the third. A pause over the end of February leaves it out: one
    goes on at the anchor's 31st, the other from the day that is asked for.
    """
    engine.plan("trial", trial="14 days")
    engine.plan("term", cycles=3)
    engine.plan("gold")
    engine.join("ayu", "trial")
    budi = engine.join("budi", "trial")
    engine.join("citra", "term")
    dewi, eka = engine.join("dewi", "gold"), engine.join("eka", "gold")
    engine.until("2026-02-10T09:00:00+07:00")
    engine.billing("subscription", "cancel", str(budi), "--reason", "not for me")
    for paused in (dewi, eka):
        engine.billing("subscription", "pause", str(paused))
    engine.until("2026-03-15T10:00:00+07:00")
    engine.billing("subscription", "resume", str(dewi))
    engine.billing("subscription", "resume", str(eka), "--from", "now")
    engine.until("2026-05-01T09:00:00+07:00")

    assert told(engine, "ayu") == ("active", ["02-14", "03-14", "04-14"], [True, False, False])
    assert told(engine, "budi") == ("canceled", [], [])
    assert told(engine, "citra") == (
        "completed", ["01-31", "02-28", "03-31"], [True, False, False],
    )  # fmt: skip
    assert told(engine, "dewi") == ("active", ["01-31", "03-31", "04-30"], [True, False, False])
    assert told(engine, "eka") == ("active", ["01-31", "03-15", "04-15"], [True, False, False])
    drawn = engine.run("subscription", "show", str(eka)).stdout
    assert "‖ paused, by operator" in drawn
    assert "○ the next period begins, Rp 50,000" in drawn
    engine.reckon()
