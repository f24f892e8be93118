"""Steps by fault class, caps and manual retries, with the real services and a sandbox."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, InvalidValue
from billing.domain.events import OPERATOR
from billing.services.operating import invoice_actions
from billing.services.reading import read_models
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
PAYDAY = datetime(2026, 2, 25, 3, tzinfo=UTC)
LIMIT, OTHER = "4035702", "do_not_honour"


def tried_after(engine: Engine, subscription: UUID) -> list[float]:
    """How many days after START each charge was made."""
    return [(c["created_at"] - START) / DAY for c in engine.charges(subscription)]


def foretold(engine: Engine, subscription: UUID) -> list[datetime]:
    """The dates that are shown for the first invoice."""
    found = read_models.subscription(engine.context.database, subscription)
    return found.invoices[0].retries_at


def retry(engine: Engine, subscription: UUID) -> None:
    """An operator tries the first invoice at once."""
    invoice_actions.retry_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    engine.run()


def given_up(engine: Engine) -> dict[str, Any]:
    """Return the reason of giving up, and after how many days, to a quarter of an hour.

    A decline that ends it is asked about once more, some minutes later.
    """
    [told] = engine.told("invoice.uncollectible")
    return {"day": round((told["at"] - START) / DAY, 2), **told["data"]}


def test_each_fault_climbs_its_own_ladder(engine: Engine) -> None:
    """A limit is retried on the next days, a low balance on payday, others as the plan says."""
    customer, subscription = engine.begun(
        every="1 year", retries="2d 5d 7d 7d",
        retries_for={"limit": "1d 1d", "insufficient_funds": "2d; 2d; 0 10 25 * *"},
    )  # fmt: skip
    for code in (LIMIT, OTHER, "insufficient_funds"):
        engine.script("decline", customer, code=code, message="no")

    engine.advance(60 * DAY)

    assert [c["fault"] for c in engine.charges(subscription)] == [
        "limit", "other", "insufficient_funds", None,
    ]  # fmt: skip
    made = [c["created_at"] for c in engine.charges(subscription)]
    assert made == [START, START + DAY, START + 6 * DAY, PAYDAY]
    assert engine.status(subscription) == "active"


def test_a_short_wallet_is_foretold_on_the_ladder_for_want_of_money(engine: Engine) -> None:
    """Declined for a limit, then short: the next date shown is the one on which the step counts."""
    customer, subscription = engine.begun(
        every="1 year", cash=0, retries_for={"limit": "1d 1d 1d", "insufficient_funds": "2d 3d"}
    )
    engine.script("decline", customer, code=LIMIT, message="no")
    engine.run()
    assert foretold(engine, subscription) == [START + n * DAY for n in (1, 2, 3)]

    engine.advance(START + 2 * DAY)

    [invoice] = engine.invoices(subscription)
    assert foretold(engine, subscription) == [
        invoice["next_attempt_at"],
        invoice["step_deadline_at"],
    ]
    engine.advance(START + 40 * DAY)
    # The step of day 1 lasts until three days after it, the last one a day.
    assert [told["at"] for told in engine.told("dunning.step_missed")] == [START + 4 * DAY]
    assert given_up(engine)["day"] == 5


def test_a_fault_whose_ladder_is_spent_ends_dunning(engine: Engine) -> None:
    """Steps are counted together: the third decline finds no third step for the limit."""
    customer, subscription = engine.begun(every="1 year", retries_for={"limit": "1d"})
    engine.script("decline", customer, code=OTHER, message="no", times=1)
    engine.script("decline", customer, code=LIMIT, message="no", times=None)

    engine.advance(60 * DAY)

    assert tried_after(engine, subscription) == [0, 2]
    assert given_up(engine)["cap"] == "retries"
    assert engine.status(subscription) == "canceled"


@pytest.mark.parametrize(
    ("caps", "days", "cap"),
    [
        ({"declines_max": 2}, [0, 2], "declines"),
        ({"attempts_max": 3}, [0, 2, 7], "attempts"),
        ({"days_max": 14}, [0, 2, 7, 14], "days"),
        ({"days_max": 13, "attempts_max": 5}, [0, 2, 7], "days"),
        ({}, [0, 2, 7, 14, 21], "retries"),
    ],
)
def test_a_cap_ends_dunning_and_is_named(
    engine: Engine, caps: dict[str, int], days: list[float], cap: str
) -> None:
    """The final action follows the last decline that a cap allows; no later date was shown."""
    customer, subscription = engine.begun(every="1 year", on_exhausted="unpaid", **caps)
    engine.script("decline", customer, times=None)
    engine.run()
    planned = [(date - START) / DAY for date in foretold(engine, subscription)]

    engine.advance(60 * DAY)

    assert tried_after(engine, subscription) == days == [0, *planned]
    told = given_up(engine)
    assert (told["cap"], told["day"]) == (cap, days[-1])
    assert told["why"].startswith("dunning ended: ")
    assert engine.status(subscription) == "unpaid"


def test_quick_technical_tries_count_as_attempts(engine: Engine) -> None:
    """Three charges in all: the first and two technical retries."""
    customer, subscription = engine.begun(every="1 year", attempts_max=3)
    engine.script("decline", customer, times=None, code="maintenance_mode")

    engine.advance(30 * DAY)

    assert len(engine.charges(subscription)) == 3
    assert given_up(engine)["cap"] == "attempts"


@pytest.mark.parametrize(
    ("caps", "day", "cap"),
    [
        ({"declines_max": 2}, 7, "declines"),
        ({"days_max": 9}, 9, "days"),
        ({"days_max": 7}, 7, "days"),
        ({"attempts_max": 2}, 22, "retries"),
    ],
)
def test_a_wallet_that_stays_short_meets_the_caps_too(
    engine: Engine, caps: dict[str, int], day: int, cap: str
) -> None:
    """A missed step is a decline and no attempt; nothing is asked after the last day."""
    _, subscription = engine.begun(every="1 year", cash=0, **caps)

    engine.advance(60 * DAY)

    assert tried_after(engine, subscription) == [0]
    assert (given_up(engine)["day"], given_up(engine)["cap"]) == (day, cap)


def test_the_wait_for_a_wallet_ends_with_the_days(engine: Engine) -> None:
    """Ten days since the first failure, and not thirty since the wallet was lost."""
    customer, subscription = engine.begun(every="1 year", days_max=10)
    engine.script("decline", customer)
    engine.advance(START + DAY)
    engine.lose_wallet(customer)

    engine.advance(START + 60 * DAY)

    assert (given_up(engine)["day"], given_up(engine)["cap"]) == (10, "days")
    assert engine.status(subscription) == "canceled"


def test_a_wait_for_a_wallet_without_such_a_cap_says_what_ended_it(engine: Engine) -> None:
    """Thirty days after the step that found no wallet."""
    customer, _ = engine.begun(every="1 year")
    engine.script("decline", customer)
    engine.advance(START + DAY)
    engine.lose_wallet(customer)

    engine.advance(START + 60 * DAY)

    told = given_up(engine)
    assert (told["day"], told["why"]) == (32, "dunning ended: no wallet was linked in time")
    assert "cap" not in told


class TestTriesByHand:
    """A manual retry or a new wallet charges once at once, and moves no step."""

    def test_a_retry_is_shown_and_made_before_the_dates_that_stay(self, engine: Engine) -> None:
        """A manual retry with another fault class changes none of the dates."""
        customer, subscription = engine.begun(every="1 year", retries_for={"limit": "1h 1h 1h 1h"})
        engine.script("decline", customer, times=1, code=OTHER, message="no")
        engine.script("decline", customer, times=1, code=LIMIT, message="no")
        engine.script("decline", customer, times=None, code=OTHER, message="no")
        engine.run()
        planned = foretold(engine, subscription)
        engine.advance(START + DAY)

        invoice_actions.retry_invoice(
            engine.context, engine.invoices(subscription)[0]["id"], OPERATOR
        )
        assert foretold(engine, subscription) == [START + DAY, *planned]
        engine.run()

        assert foretold(engine, subscription) == planned
        engine.advance(START + 60 * DAY)
        assert tried_after(engine, subscription) == [0, 1, 2, 7, 14, 21]

    def test_a_retry_on_a_step_that_waits_for_money_leaves_its_deadline(
        self, engine: Engine
    ) -> None:
        """Short on payday, a manual retry a day later: the wait continues, not until next month."""
        customer, subscription = engine.begun(every="1 year", cash=0, retries="0 10 25 * *; 7d")
        engine.advance(PAYDAY + DAY)
        before = engine.invoices(subscription)[0]

        retry(engine, subscription)

        after = engine.invoices(subscription)[0]
        assert after["step_deadline_at"] == before["step_deadline_at"] == PAYDAY + 7 * DAY
        assert after["next_attempt_at"] == before["next_attempt_at"]
        engine.put_cash(customer, 50_000)
        engine.advance(timedelta(hours=6))
        assert engine.status(subscription) == "active"

    def test_a_retry_after_the_steps_date_is_that_step(self, engine: Engine) -> None:
        """Nothing ran until day 3: the step of day 2 is charged once, and day 7 stays day 7."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("decline", customer, times=None)
        engine.run()
        engine.set_clock(START + 3 * DAY)

        retry(engine, subscription)

        assert tried_after(engine, subscription) == [0, 3]
        assert engine.invoices(subscription)[0]["next_attempt_at"] == START + 7 * DAY

    def test_two_clicks_are_two_tries_and_one_ladder(self, engine: Engine) -> None:
        """The second click before the tick keeps the date that the first one set aside."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("decline", customer, times=None)
        engine.advance(START + DAY)
        invoice = engine.invoices(subscription)[0]["id"]
        for _ in range(2):
            invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)
        engine.run()

        assert engine.invoices(subscription)[0]["next_attempt_at"] == START + 2 * DAY
        assert tried_after(engine, subscription) == [0, 1]

    def test_a_new_wallet_is_tried_at_once_and_once(self, engine: Engine) -> None:
        """Linked again on day 5, before the step of day 7: charged then, and day 7 stays."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("decline", customer, times=None)
        engine.advance(START + 5 * DAY)
        engine.lose_wallet(customer)
        engine.run()
        engine.link(customer)

        engine.advance(START + 30 * DAY)

        assert tried_after(engine, subscription) == [0, 2, 5, 7, 14, 21]
        triggers = [c["trigger"] for c in engine.charges(subscription)]
        assert triggers == ["scheduled"] * 2 + ["customer"] + ["scheduled"] * 3

    def test_a_new_wallet_after_the_step_has_come_takes_that_step(self, engine: Engine) -> None:
        """The step of day 7 waited for the wallet of day 10; the next one is day 14."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("decline", customer, times=None)
        engine.advance(START + 5 * DAY)
        engine.lose_wallet(customer)
        engine.advance(START + 10 * DAY)
        engine.link(customer)

        engine.advance(START + 40 * DAY)

        assert tried_after(engine, subscription) == [0, 2, 10, 14, 21]

    def test_a_retry_that_meets_a_lost_wallet_costs_no_step(self, engine: Engine) -> None:
        """A manual retry on day 1 finds the token gone; linked again on day 1: day 2 stays."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("decline", customer, times=1)
        engine.advance(START + DAY)
        engine.unlink(customer)
        retry(engine, subscription)
        engine.advance(timedelta(minutes=10))
        assert engine.invoices(subscription)[0]["blocked_on"] == "wallet"
        engine.script("decline", customer, times=None)
        engine.link(customer)

        engine.advance(START + 40 * DAY)

        days = [round(after, 2) for after in tried_after(engine, subscription)]
        assert days == [0, 1, 1.01, 2, 7, 14, 21]

    def test_a_new_wallet_pays_what_was_short_in_the_old_one(self, engine: Engine) -> None:
        """An invoice that waits for money is charged to the new wallet without a balance check."""
        customer, subscription = engine.begun(every="1 year", cash=0)
        engine.advance(START + 3 * DAY)
        assert engine.invoices(subscription)[0]["blocked_on"] == "balance"
        engine.lose_wallet(customer)
        engine.run()
        engine.put_cash(customer, 50_000)
        engine.link(customer)

        engine.run()

        assert engine.status(subscription) == "active"

    def test_a_retry_without_a_wallet_is_refused_and_restarts_no_wait(self, engine: Engine) -> None:
        """There is nothing to charge from; the end of the wait stays where it was."""
        customer, subscription = engine.begun(every="1 year")
        engine.unlink(customer)
        engine.run()
        engine.advance(START + 10 * DAY)
        before = engine.invoices(subscription)
        assert before[0]["blocked_on"] == "wallet"

        with pytest.raises(IllegalMove, match="no linked wallet"):
            invoice_actions.retry_invoice(engine.context, before[0]["id"], OPERATOR)

        assert engine.invoices(subscription) == before
        engine.advance(START + 31 * DAY)
        assert given_up(engine)["day"] == 30


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries_for": {"hard": "1d"}},
        {"retries_for": {"technical": "1d"}},
        {"retries_for": {"wallet": "1d"}},
        {"retries_for": {"lack of funds": "1d"}},
        {"retries_for": {"limit": "tomorrow"}},
        {"declines_max": 0},
        {"attempts_max": -1},
        {"days_max": 1_001},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    """One line that names what is wrong, and no plan."""
    with pytest.raises(InvalidValue) as refused:
        engine.plan(**wrong)

    assert len(str(refused.value).splitlines()) == 1
    assert engine.counts()["plans"] == 0
