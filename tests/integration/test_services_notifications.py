"""Notifications: they make status queries due, never too many, and settle nothing themselves."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from billing.domain.events import OPERATOR
from billing.domain.notifications import Notification, Said
from billing.domain.outcomes import Succeeded
from billing.domain.settlement import Source
from billing.services.collecting import notifications, reconciling, settling
from billing.services.collecting.notifications import Effect
from billing.services.collecting.settling import News
from billing.services.operating import charge_resolution
from billing.store.queries import charges, events
from tests.integration.engine import START, Engine
from tests.integration.races import Hold, at_once, beside

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def charge_of(engine: Engine, subscription: UUID) -> dict[str, Any]:
    """The only charge of a subscription."""
    [charge] = engine.charges(subscription)
    return dict(charge)


def notify(engine: Engine, charge: dict[str, Any], said: Said = Said.SUCCEEDED) -> Effect:
    """Receive a notification about a charge."""
    named = Notification(said, charge["id"], charge["gateway_number"], charge["amount"])
    return notifications.receive(engine.context, named)


def queries(engine: Engine) -> int:
    """How many status queries the gateway has answered."""
    answers = engine.gateway.control("GET", "totals")["answers"]
    return sum(count for name, count in answers.items() if name.startswith("status "))


def lost(engine: Engine, **plan: Any) -> tuple[str, UUID, dict[str, Any]]:
    """A charge that moved money and whose answer was lost, an hour after it was sent.

    The gateway's first answers to queries say nothing, so that the next query is daily.
    """
    customer, subscription = engine.begun(**plan)
    engine.script("drop_after", customer)
    engine.script("http_500", customer, "status", times=3)
    engine.advance(START + 2 * HOUR)
    charge = charge_of(engine, subscription)
    assert (charge["status"], charge["status_queries"]) == ("unknown", 3)
    assert charge["next_check_at"] > engine.now + HOUR
    return customer, subscription, charge


def test_a_lost_answer_is_settled_within_one_query_after_the_notification(engine: Engine) -> None:
    """Without it the charge would wait for a day."""
    _, subscription, charge = lost(engine)
    before = queries(engine)

    assert notify(engine, charge) is Effect.QUERIED
    assert charge_of(engine, subscription)["status"] == "unknown"
    engine.run()

    assert charge_of(engine, subscription)["status"] == "succeeded"
    assert queries(engine) == before + 1
    [told] = engine.told("charge.notified")
    assert (told["actor"], told["data"]["said"]) == ("gateway", "succeeded")


def test_a_young_charge_is_queried_a_minute_after_it_was_sent(engine: Engine) -> None:
    """DOKU notifies within a second, and asks to wait 60 s before a status query."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    engine.execute("UPDATE charges SET next_check_at = :at", at=START + HOUR)
    engine.set_clock(START + SECOND)

    notify(engine, charge_of(engine, subscription))

    assert charge_of(engine, subscription)["next_check_at"] == START + MINUTE
    engine.advance(START + MINUTE)
    assert charge_of(engine, subscription)["status"] == "succeeded"


@pytest.mark.parametrize("by", ["id", "number", "both"])
def test_a_charge_is_found_by_either_name(engine: Engine, by: str) -> None:
    """A notification has the Request-Id, the gateway number, or both."""
    _, _, charge = lost(engine)
    request_id = charge["id"] if by in {"id", "both"} else None
    number = charge["gateway_number"] if by in {"number", "both"} else None

    named = Notification(Said.SUCCEEDED, request_id, number)
    assert notifications.receive(engine.context, named) is Effect.QUERIED
    engine.run()


def test_an_unknown_payment_changes_nothing(engine: Engine) -> None:
    """Also one whose two names belong to two charges, or that has none."""
    _, subscription, charge = lost(engine)
    events = engine.one("SELECT count(*) FROM events")
    for request_id, number in [
        (uuid4(), None), (None, "OTHER-1"), (charge["id"], "OTHER-1"),
        (uuid4(), charge["gateway_number"]), (None, None),
    ]:  # fmt: skip
        named = Notification(Said.SUCCEEDED, request_id, number)
        assert notifications.receive(engine.context, named) is Effect.UNKNOWN_CHARGE

    assert charge_of(engine, subscription) == charge
    assert engine.one("SELECT count(*) FROM events") == events
    engine.advance(START + timedelta(days=2))


def test_repeated_notifications_cause_one_query_a_minute_and_never_park(engine: Engine) -> None:
    """Half an hour of them, each second, about a charge that stays open."""
    customer, subscription = engine.begun()
    engine.script("pending", customer)
    engine.advance(START + 2 * HOUR)
    charge = charge_of(engine, subscription)
    before, begin = queries(engine), engine.now
    for second in range(0, 1800, 7):
        engine.set_clock(begin + second * SECOND)
        notify(engine, charge)
        reconciling.ask(engine.context, [charge["id"]])

    assert 20 <= queries(engine) - before <= 31
    after = charge_of(engine, subscription)
    assert (after["status"], after["parked_at"]) == ("pending", None)
    assert after["status_queries"] <= charge["status_queries"] + 1
    assert len(engine.told("charge.notified")) <= 31


def test_a_parked_charge_is_settled_after_a_notification(engine: Engine) -> None:
    """The gateway remembers the payment after an outage of two weeks: no operator is needed."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.script("http_500", customer, "status", times=None)
    engine.advance(START + timedelta(days=14))
    charge = charge_of(engine, subscription)
    assert charge["parked_at"] is not None
    engine.no_more_scripts()

    notify(engine, charge)
    engine.run()

    assert charge_of(engine, subscription)["status"] == "succeeded"


@pytest.mark.parametrize("said", [Said.FAILED, Said.OTHER])
def test_a_wrong_notification_about_an_open_charge_does_no_harm(engine: Engine, said: Said) -> None:
    """The gateway is asked, and its answer counts: the money had moved."""
    _, subscription, charge = lost(engine)

    notify(engine, charge, said)
    engine.run()

    assert charge_of(engine, subscription)["status"] == "succeeded"


def test_a_success_that_is_only_notified_is_not_believed(engine: Engine) -> None:
    """The payment never arrived: after the notification it is sent again, under its own id."""
    customer, subscription = engine.begun()
    engine.script("drop_before", customer)
    engine.run()
    engine.set_clock(START + 2 * MINUTE)

    notify(engine, charge_of(engine, subscription))
    engine.run()
    assert charge_of(engine, subscription)["status"] == "unknown"
    engine.advance(START + HOUR)

    assert charge_of(engine, subscription)["sends"] == 2
    assert len(engine.debits(customer)) == 1


def test_a_suspected_decline_waits_for_the_breakers_window(engine: Engine) -> None:
    """FAILED notifications about all customers must not end their subscriptions early."""
    customer, subscription = engine.begun()
    engine.script("decline", customer, code="suspected_fraud", message="no")
    engine.run()
    charge = charge_of(engine, subscription)
    assert (charge["status"], charge["fault"]) == ("unknown", "hard")
    engine.set_clock(START + 2 * MINUTE)

    assert notify(engine, charge, Said.FAILED) is Effect.UNCHANGED
    assert charge_of(engine, subscription)["next_check_at"] == charge["next_check_at"]
    engine.advance(START + HOUR)


def declined(engine: Engine) -> tuple[str, UUID, dict[str, Any]]:
    """A charge that the gateway declined."""
    customer, subscription = engine.begun(cash=0)
    engine.run()
    charge = charge_of(engine, subscription)
    assert charge["status"] == "declined"
    engine.set_clock(START + HOUR)
    return customer, subscription, charge


def test_a_decline_that_agrees_is_left_alone(engine: Engine) -> None:
    """A FAILED notification about a declined charge is no news."""
    _, subscription, charge = declined(engine)

    assert notify(engine, charge, Said.FAILED) is Effect.UNCHANGED
    assert charge_of(engine, subscription) == charge


def test_success_of_a_declined_charge_is_asked_about_and_recorded(engine: Engine) -> None:
    """FAILED is not final at this gateway: the invoice is paid, and no retry follows."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=4, status="FAILED")
    engine.advance(START + HOUR)
    charge = charge_of(engine, subscription)
    assert charge["status"] == "declined"
    engine.no_more_scripts()

    assert notify(engine, charge) is Effect.QUERIED
    engine.run()

    after = charge_of(engine, subscription)
    assert (after["status"], after["next_check_at"]) == ("succeeded", None)
    assert engine.status(subscription) == "active"
    engine.advance(START + timedelta(days=10))
    assert len(engine.debits(customer)) == 1


def test_false_success_of_a_declined_charge_costs_one_query(engine: Engine) -> None:
    """The gateway says FAILED again; nothing is written but the end of the queries."""
    _, subscription, charge = declined(engine)
    before = queries(engine)

    assert notify(engine, charge) is Effect.QUERIED
    engine.run()

    after = charge_of(engine, subscription)
    assert (after["status"], after["next_check_at"]) == ("declined", None)
    assert queries(engine) == before + 1
    assert notify(engine, charge) is Effect.QUERIED  # a minute later, not at once
    assert charge_of(engine, subscription)["next_check_at"] == engine.now + MINUTE


def paid(engine: Engine) -> tuple[str, UUID, dict[str, Any]]:
    """A charge that succeeded."""
    customer, subscription = engine.begun()
    engine.run()
    engine.set_clock(START + HOUR)
    return customer, subscription, charge_of(engine, subscription)


def test_a_failure_out_of_order_costs_one_query(engine: Engine) -> None:
    """FAILED arrives after SUCCESS: the gateway still says SUCCESS, and nothing changes."""
    _, subscription, charge = paid(engine)
    before = queries(engine)

    assert notify(engine, charge, Said.FAILED) is Effect.QUERIED
    engine.run()

    after = charge_of(engine, subscription)
    assert (after["status"], after["next_check_at"], after["contradicted_at"]) == (
        "succeeded", None, None
    )  # fmt: skip
    assert queries(engine) == before + 1


def test_a_payment_that_the_gateway_takes_back_is_for_an_operator(engine: Engine) -> None:
    """SUCCESS, then FAILED in a notification and in the answer to a query."""
    customer, subscription, charge = paid(engine)
    engine.script("status_says", customer, "status", status="FAILED")

    notify(engine, charge, Said.FAILED)
    engine.run()

    assert charge_of(engine, subscription)["status"] == "succeeded"
    [told] = engine.told("charge.contradicted")
    assert told["data"]["why"] == "the gateway said succeeded, the gateway says failed"
    assert notify(engine, charge, Said.FAILED) is Effect.UNCHANGED
    charge_resolution.resolve_charge(engine.context, charge["id"], True, OPERATOR)
    assert charge_of(engine, subscription)["contradicted_at"] is None


def test_an_operators_word_is_checked_at_once_after_a_notification(engine: Engine) -> None:
    """Resolved as declined; the notification says that the money moved, and the gateway too."""
    customer, subscription, charge = lost(engine)
    engine.script("http_500", customer, "status", times=1)
    charge_resolution.resolve_charge(engine.context, charge["id"], False, OPERATOR)
    assert charge_of(engine, subscription)["status"] == "declined"

    assert notify(engine, charge_of(engine, subscription)) is Effect.QUERIED
    engine.run()

    assert charge_of(engine, subscription)["status"] == "succeeded"
    assert [told["data"]["gateway"] for told in engine.told("charge.contradicted")] == ["succeeded"]
    engine.dead_ends = {"contradicted"}


def test_success_of_an_unsent_charge_is_recorded_and_found_before_the_retry(
    engine: Engine,
) -> None:
    """The check before a retry asks about it anyway."""
    customer, subscription = engine.begun()
    engine.script("rate_limited", customer, work="done")
    engine.run()
    charge = charge_of(engine, subscription)
    assert charge["status"] == "unsent"

    assert notify(engine, charge) is Effect.RECORDED
    assert notify(engine, charge) is Effect.UNCHANGED
    [told] = engine.told("charge.notified")
    assert told["data"]["why"] == "a notification says succeeded, recorded is unsent"
    engine.advance(START + HOUR)

    assert charge_of(engine, subscription)["status"] == "succeeded"
    assert len(engine.debits(customer)) == 1


def test_a_notification_waits_for_the_settlement_of_its_charge(
    engine: Engine, other: Engine, hold: Hold
) -> None:
    """An answer is being written: the notification waits, and then finds a settled charge."""
    _, subscription, charge = lost(engine)
    news, said = [News(charge["id"], Succeeded())], []

    beside(
        engine, hold, (events, "record"),
        lambda: settling.settle(engine.context, news, Source.STATUS),
        lambda: said.append(notify(other, charge)),
    )  # fmt: skip

    assert said == [Effect.UNCHANGED]
    assert charge_of(engine, subscription)["status"] == "succeeded"
    assert len(engine.told("charge.succeeded")) == 1


def test_a_notification_during_a_status_query_is_not_lost(
    engine: Engine, other: Engine, hold: Hold
) -> None:
    """The answer "pending" is older than the notification: the charge is asked about again."""
    customer, subscription = engine.begun()
    engine.script("pending", customer, end="SUCCESS", after_queries=4)
    engine.advance(START + 2 * HOUR)
    charge = charge_of(engine, subscription)
    engine.execute("UPDATE charges SET next_check_at = :now", now=engine.now)

    def late() -> None:
        engine.set_clock(engine.now + SECOND)
        assert notify(other, charge) is Effect.RECORDED

    beside(
        engine, hold, (charges, "to_ask"),
        lambda: reconciling.ask(engine.context, [charge["id"]]), late,
    )  # fmt: skip
    assert charge_of(engine, subscription)["status"] == "pending"
    engine.advance(engine.now + 3 * MINUTE)

    assert charge_of(engine, subscription)["status"] == "succeeded"


def test_a_charge_that_others_lock_is_not_waited_for_without_end(
    engine: Engine, other: Engine
) -> None:
    """After a second the gateway is asked to repeat the notification."""
    _, _, charge = lost(engine)
    with other.context.database.transaction() as connection:
        connection.execute(text("SELECT id FROM charges FOR UPDATE"))

        with pytest.raises(Exception, match="lock timeout"):
            notify(engine, charge)
    assert notify(engine, charge) is Effect.QUERIED
    engine.run()


def test_a_notification_takes_no_lock_of_a_subscription(engine: Engine, other: Engine) -> None:
    """Commands and settling hold it for longer than the gateway waits for an answer."""
    _, _, charge = lost(engine)
    with other.context.database.transaction() as connection:
        connection.execute(text("SELECT id FROM subscriptions FOR UPDATE"))

        assert notify(engine, charge) is Effect.QUERIED
    engine.run()


def test_many_at_once_make_one_query(engine: Engine, other: Engine) -> None:
    """Eight copies arrive at the same moment in two processes."""
    _, subscription, charge = lost(engine)
    before = queries(engine)

    effects = at_once(*[lambda e=e: notify(e, charge) for e in [engine, other] * 4])

    assert effects.count(Effect.QUERIED) == 1
    assert len(engine.told("charge.notified")) == 1
    engine.run()
    assert queries(engine) == before + 1
    assert charge_of(engine, subscription)["status"] == "succeeded"
