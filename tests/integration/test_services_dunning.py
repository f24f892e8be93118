"""After a declined charge: the dates of retries, giving up, and what follows."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.operating.charge_resolution import resolve_charge
from billing.services.operating.invoice_actions import retry_invoice
from billing.services.reading import auditing
from billing.services.wallets import linking
from tests.integration.engine import START, Engine

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def tried_after(engine: Engine, subscription: UUID, period: int = 0) -> list[float]:
    """How many days after START each charge of a period was made."""
    charges = [c for c in engine.charges(subscription) if c["period_index"] == period]
    return [(c["created_at"] - START) / DAY for c in charges]


@pytest.mark.parametrize(("declines", "days"), [(1, 2), (2, 7), (3, 14), (4, 21)])
def test_a_decline_is_recovered_on_its_day(engine: Engine, declines: int, days: int) -> None:
    """The default steps are day 2, 7, 14 and 21 after the first failure, to the second."""
    customer, subscription = engine.begun(every="2 months")
    engine.script("decline", customer, times=declines)
    engine.run()
    assert engine.status(subscription) == "past_due"

    engine.advance(days * DAY)
    assert tried_after(engine, subscription) == [0, 2, 7, 14, 21][: declines + 1]
    assert engine.status(subscription) == "active"
    assert len(engine.debits(customer)) == 1
    assert len(engine.told("subscription.recovered")) == 1
    assert engine.next_due() == datetime(2026, 3, 31, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("action", "ends"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("pause", "paused")]
)
def test_spent_steps_end_in_the_final_action_with_all_open_invoices(
    engine: Engine, action: str, ends: str
) -> None:
    """Five declines: given up on day 21, together with the period that opened until then."""
    customer, subscription = engine.begun(every="2 weeks", on_exhausted=action)
    engine.script("decline", customer, times=None)

    engine.advance(90 * DAY)

    assert tried_after(engine, subscription) == [0, 2, 7, 14, 21]
    assert [row["status"] for row in engine.invoices(subscription)] == ["uncollectible"] * 2
    assert engine.status(subscription) == ends
    assert len(engine.told("invoice.uncollectible")) == 2
    assert engine.next_due() == engine.wallets(customer)[0]["next_notice_at"]
    assert engine.debits(customer) == []


@pytest.mark.parametrize(
    ("action", "ends"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("pause", "paused")]
)
def test_a_late_tick_makes_no_period_free_that_began_before_dunning_gave_up(
    engine: Engine, action: str, ends: str
) -> None:
    """A period that began during dunning is owed, although it was not open at its end."""
    customer, subscription = engine.begun(every="1 week", on_exhausted=action, retries="8d")
    engine.script("decline", customer, times=None)
    engine.run()

    engine.set_clock(START + 8 * DAY)
    engine.tick(["ticks.sweep_charges"])
    engine.set_clock(engine.now + 10 * MINUTE)
    engine.tick(["ticks.reconcile"])
    assert engine.status(subscription) == ends
    engine.run()

    assert [row["status"] for row in engine.invoices(subscription)] == ["uncollectible"] * 2
    assert len(engine.told("invoice.uncollectible")) == 2
    assert engine.told("period.skipped") == []
    assert engine.debits(customer) == []


def test_the_last_cycle_given_up_completes_the_subscription(engine: Engine) -> None:
    """With no period left there is nothing to cancel or to pause: it is completed."""
    customer, subscription = engine.begun(cycles=1, on_exhausted="pause")
    engine.script("decline", customer, times=None)

    engine.advance(30 * DAY)

    assert engine.status(subscription) == "completed"


def test_later_periods_open_unpaid_and_follow_at_once_when_the_oldest_is_paid(
    engine: Engine,
) -> None:
    """Two weeks unpaid leave three weekly invoices; paying the oldest brings the others."""
    customer, subscription = engine.begun(every="1 week")
    engine.script("decline", customer, times=3)
    engine.advance(14 * DAY)

    charges = engine.charges(subscription)
    assert [(c["period_index"], c["status"]) for c in charges] == [
        (0, "declined"), (0, "declined"), (0, "declined"),
        (0, "succeeded"), (1, "succeeded"), (2, "succeeded"),
    ]  # fmt: skip
    assert {c["created_at"] for c in charges[3:]} == {START + 14 * DAY}
    assert [row["number"].split("-")[1] for row in engine.debits(customer)] == ["0", "1", "2"]
    assert engine.status(subscription) == "active"


def test_a_subscription_stays_past_due_until_the_last_open_invoice_is_paid(engine: Engine) -> None:
    """The second invoice fails where the first recovered: past due, with its own steps."""
    customer, subscription = engine.begun(every="1 week")
    engine.script("decline", customer, times=2)
    engine.script("decline", customer, times=1, skip=1)
    engine.advance(7 * DAY)

    states = [row["status"] for row in engine.invoices(subscription)]
    assert (states, engine.status(subscription)) == (["paid", "open"], "past_due")
    assert engine.invoices(subscription)[1]["next_attempt_at"] == START + 9 * DAY
    engine.advance(2 * DAY)
    assert engine.status(subscription) == "active"


def test_a_declined_charge_that_was_paid_after_all_is_booked_and_not_repeated(
    engine: Engine,
) -> None:
    """Before the retry the earlier charge gets one more status query."""
    customer, subscription = engine.begun()
    engine.script("pending", customer, end="SUCCESS", after_queries=2)
    engine.script("status_says", customer, "status", times=2, status="FAILED")
    engine.advance(timedelta(hours=1))
    assert engine.charges(subscription)[0]["status"] == "declined"
    assert engine.status(subscription) == "past_due"

    engine.advance(3 * DAY)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["settled_at"]) == ("succeeded", START + 2 * DAY + 6 * MINUTE)
    assert len(engine.ledger(customer, "payment")) == 1
    assert engine.told("charge.succeeded")[0]["data"]["late"] is True
    assert engine.status(subscription) == "active"


def test_a_retry_waits_when_the_gateway_cannot_say_what_became_of_the_last_one(
    engine: Engine,
) -> None:
    """Without an answer about charge N there is no charge N+1; an event reports the wait."""
    customer, subscription = engine.begun()
    engine.script("decline", customer)
    engine.script("http_500", customer, "status", times=3)

    engine.advance(2 * DAY + timedelta(minutes=14))
    assert len(engine.charges(subscription)) == 1
    engine.advance(timedelta(minutes=1))

    assert tried_after(engine, subscription)[1] == 2 + 15 / (24 * 60)
    assert len(engine.told("invoice.postponed")) == 3
    assert engine.status(subscription) == "active"


def test_a_retry_behind_a_charge_that_stays_pending_is_visible_and_not_hectic(
    engine: Engine,
) -> None:
    """An operator resolved it as declined, the gateway still says pending: nothing is sent.

    After a week of daily status queries it is listed for an operator, and is still queried.
    """
    customer, subscription = engine.begun(every="1 year")
    engine.script("pending", customer)
    engine.advance(10 * DAY)
    [charge] = engine.charges(subscription)
    resolve_charge(engine.context, charge["id"], False, OPERATOR)

    engine.advance(30 * DAY)

    assert len(engine.charges(subscription)) == 1
    assert 5 < len(engine.told("invoice.postponed")) < 200
    engine.dead_ends = {"postponed"}
    [found] = auditing.dead_ends(engine.context)
    [invoice] = engine.invoices(subscription)
    assert (found.kind, found.why) == ("invoice", invoice["reason"])
    assert f"{charge['gateway_number']} is unclear (pending: customer)" in invoice["reason"]


def test_an_operators_retry_spends_no_step_and_shifts_no_date(engine: Engine) -> None:
    """Manual retries on days 1 and 3 decline too; the steps stay on day 2, 7, 14, 21."""
    customer, subscription = engine.begun(every="2 months")
    engine.script("decline", customer, times=None)
    engine.run()
    [invoice] = engine.invoices(subscription)
    for day in (1, 3):
        engine.advance(START + day * DAY)
        retry_invoice(engine.context, invoice["id"], OPERATOR)
        engine.run()

    engine.advance(START + 50 * DAY)

    assert tried_after(engine, subscription) == [0, 1, 2, 3, 7, 14, 21]
    triggers = [c["trigger"] for c in engine.charges(subscription)]
    assert [i for i, trigger in enumerate(triggers) if trigger == "operator"] == [1, 3]
    assert engine.status(subscription) == "canceled"


def test_an_operators_retry_is_refused_where_it_could_do_harm(engine: Engine) -> None:
    """Not while a charge is unresolved, not past an older invoice, not when it is closed."""
    customer, subscription = engine.begun(every="1 week")
    engine.script("pending", customer, end="FAILED", after_queries=1)
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    with pytest.raises(IllegalMove, match="unresolved"):
        retry_invoice(engine.context, invoice, OPERATOR)
    engine.script("decline", customer, times=2)
    engine.advance(START + 7 * DAY)
    with pytest.raises(IllegalMove, match="older"):
        retry_invoice(engine.context, engine.invoices(subscription)[1]["id"], OPERATOR)
    engine.advance(START + 20 * DAY)
    with pytest.raises(IllegalMove, match="not open"):
        retry_invoice(engine.context, invoice, OPERATOR)


def test_a_late_success_after_dunning_gave_up_pays_the_invoice(engine: Engine) -> None:
    """Late money of an uncollectible invoice pays it, and is not refunded."""
    customer, subscription = engine.begun(on_exhausted="unpaid", retries="2d")
    engine.script("decline", customer)
    engine.script("pending", customer, end="SUCCESS", after_queries=2)
    engine.script("status_says", customer, "status", times=2, skip=1, status="FAILED")
    engine.advance(3 * DAY)
    assert engine.status(subscription) == "unpaid"
    charge = engine.charges(subscription)[1]
    assert (charge["status"], engine.debits(customer)) == ("declined", [])

    engine.late_success(charge["id"])

    assert [row["status"] for row in engine.invoices(subscription)] == ["paid"]
    assert engine.status(subscription) == "active"
    assert engine.refunds(customer) == []
    engine.advance(30 * DAY)
    assert [row["period_index"] for row in engine.invoices(subscription)] == [0, 1]


def test_a_late_success_when_all_cycles_have_gone_by_completes(engine: Engine) -> None:
    """Marked unpaid in its first of two cycles, paid months later: nothing is left to bill."""
    customer, subscription = engine.begun(on_exhausted="unpaid", retries="2d", cycles=2)
    engine.script("decline", customer)
    engine.script("pending", customer, end="SUCCESS", after_queries=2)
    engine.script("status_says", customer, "status", times=2, skip=1, status="FAILED")
    engine.advance(100 * DAY)
    assert engine.status(subscription) == "unpaid"
    engine.late_success(engine.charges(subscription)[1]["id"])

    engine.advance(60 * DAY)

    assert engine.status(subscription) == "completed"
    assert len(engine.debits(customer)) == 1
    assert engine.told("period.skipped")[0]["data"]["first"] == 1


def test_a_technical_fault_backs_off_shortly_and_spends_no_step(engine: Engine) -> None:
    """A quarter of an hour, one hour, four, twelve; then it is paid, before the first step."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, times=4, code="maintenance_mode")

    engine.advance(2 * DAY)

    hours = [after * 24 for after in tried_after(engine, subscription)]
    assert hours == pytest.approx([0, 0.25, 1.25, 5.25, 17.25])
    assert engine.status(subscription) == "active"


def test_a_technical_fault_that_never_ends_is_given_up_too(engine: Engine) -> None:
    """The fifth counts as any other decline, and so do those after it: the wait has an end."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("decline", customer, times=None, code="maintenance_mode")

    engine.advance(120 * DAY)

    assert engine.status(subscription) == "canceled"
    assert [round(after) for after in tried_after(engine, subscription)[5:]] == [2, 7, 14, 21]


def test_a_hard_fault_is_given_up_at_once(engine: Engine) -> None:
    """A hard decline gets one more status query, and no retry."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, code="suspected_fraud")

    engine.advance(40 * DAY)

    assert tried_after(engine, subscription) == [0]
    assert engine.status(subscription) == "canceled"


def test_cron_steps_fall_on_paydays(engine: Engine) -> None:
    """`0 10 25 * *` is the next 25th at ten in the plan's zone."""
    customer, subscription = engine.begun(every="2 months", retries="2d; 0 10 25 * *")
    engine.script("decline", customer, times=2)

    engine.advance(30 * DAY)

    made = [c["created_at"] for c in engine.charges(subscription)]
    assert made[1:] == [START + 2 * DAY, datetime(2026, 2, 25, 3, tzinfo=UTC)]


def test_an_unsent_charge_is_tried_again_soon_and_spends_nothing(engine: Engine) -> None:
    """A rejected charge is sent again minutes later; the subscription is not past due."""
    customer, subscription = engine.begun()
    engine.script("turn_away", customer, times=3)

    engine.advance(timedelta(hours=1))

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["attempt"], charge["unsent_attempts"]) == ("succeeded", 1, 3)
    waits = [told["at"] - START for told in engine.told("charge.claimed")]
    assert waits == [timedelta(minutes=minutes) for minutes in (0, 1, 6, 21)]
    assert engine.told("subscription.fell_behind") == []


class TestAWalletThatIsShort:
    """Before a retry the balance is checked; if it is short, nothing is sent and no step used."""

    def test_a_shortfall_is_charged_after_a_top_up(self, engine: Engine) -> None:
        """12,500 short on day 2, topped up on day 3: charged at the next check, step 1 unused."""
        customer, subscription = engine.begun(every="2 months", cash=37_500)
        engine.advance(START + 3 * DAY)
        assert len(engine.ledger(customer, "payment")) == 1
        [invoice] = engine.invoices(subscription)
        assert (invoice["blocked_on"], invoice["shortfall"]) == ("balance", 12_500)
        assert engine.told("invoice.short")[0]["data"]["shortfall"] == 12_500

        engine.gateway.control("POST", f"wallets/{customer}/top-up", {"amount": 12_500})
        engine.advance(timedelta(hours=6))

        assert tried_after(engine, subscription) == [0, 3.25]
        assert engine.status(subscription) == "active"
        assert len(engine.debits(customer)) == 1

    def test_a_step_counts_at_its_deadline_and_the_end_comes_on_time(self, engine: Engine) -> None:
        """Always short: steps are missed on day 7, 14, 21 and a day later, and it is given up."""
        customer, subscription = engine.begun(every="2 months", cash=0)

        engine.advance(START + 60 * DAY)

        assert len(engine.ledger(customer, "payment")) == 1
        missed = [(row["at"] - START) / DAY for row in engine.told("dunning.step_missed")]
        assert missed == [7, 14, 21]
        assert engine.told("invoice.uncollectible")[0]["at"] == START + 22 * DAY
        assert engine.status(subscription) == "canceled"

    def test_a_decline_after_a_missed_step_keeps_the_ladder(self, engine: Engine) -> None:
        """Short on day 2, missed on day 7, enough but declined on day 8: the next is day 14."""
        customer, subscription = engine.begun(every="2 months", cash=0)
        engine.advance(START + 8 * DAY)
        engine.script("decline", customer, code="4035702")
        engine.put_cash(customer, 50_000)

        engine.advance(START + 20 * DAY)

        assert tried_after(engine, subscription) == [0, 8.25, 14]
        assert engine.status(subscription) == "active"

    def test_an_operators_retry_asks_no_balance(self, engine: Engine) -> None:
        """A manual retry is sent although the wallet is short."""
        customer, subscription = engine.begun(every="2 months", cash=0)
        engine.advance(START + 3 * DAY)

        retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
        engine.run()

        assert len(engine.ledger(customer, "payment")) == 2
        assert engine.invoices(subscription)[0]["next_attempt_at"] > engine.now

    @pytest.mark.parametrize("kind", ["http_500", "garbage", "turn_away", "decline"])
    def test_a_balance_that_cannot_be_asked_does_not_hold_back_a_charge(
        self, engine: Engine, kind: str
    ) -> None:
        """The balance is only advice: without an answer the charge is made."""
        customer, subscription = engine.begun(every="2 months")
        engine.script("decline", customer)
        engine.script(kind, customer, "balance")

        engine.advance(2 * DAY)

        assert tried_after(engine, subscription) == [0, 2]
        assert engine.status(subscription) == "active"

    def test_waiting_for_a_wallet_spends_none_of_its_steps(self, engine: Engine) -> None:
        """Short, then the token is gone for a week, then linked again: no step was counted."""
        customer, subscription = engine.begun(every="2 months", cash=0)
        engine.advance(START + 6 * DAY)
        engine.lose_wallet(customer)
        engine.advance(START + 12 * DAY)
        assert engine.invoices(subscription)[0]["blocked_on"] == "wallet"

        engine.link(customer)
        engine.run()

        assert engine.invoices(subscription)[0]["steps_short"] == 0
        linking.refresh(engine.context, customer)
