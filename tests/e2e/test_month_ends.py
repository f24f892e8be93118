"""Story: a year of month ends."""

from tests.e2e.world import World


def test_a_year_from_the_31st_bills_every_month_once(engine: World) -> None:
    """
    Twelve periods on the last day of each month, each paid once, the first marked as first.

    Through the worker and beat as they are in production, with the clock moved.
    """
    engine.plan("gold")
    subscription = engine.join("ayu", "gold")
    engine.until("2027-01-30T12:00:00+07:00")

    shown = engine.billing("subscription", "show", str(subscription))
    assert shown["status"] == "active"
    assert shown["next_due_at"][:10] == "2027-01-31"
    invoices = sorted(shown["invoices"], key=lambda invoice: invoice["period_index"])
    assert [invoice["period_start"][:10] for invoice in invoices] == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30",
        "2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31",
    ]  # fmt: skip
    assert {invoice["status"] for invoice in invoices} == {"paid"}
    charges = [charge for invoice in invoices for charge in invoice["charges"]]
    assert [charge["first_payment"] for charge in charges] == [True] + [False] * 11
    engine.reckon()
    engine.until("2027-01-30T13:00:00+07:00")
    assert engine.value("SELECT count(*) FROM charges") == 12, "nothing further was due"
