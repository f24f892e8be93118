"""The breaker: an unusual share of odd answers stops charging, and ends nothing."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR, Actor
from billing.domain.outcomes import Declined, Fault, Outcome, SealedPayment, Unknown
from billing.sandbox.process import SandboxProcess
from billing.services.collecting import charging, claiming, opening_batches
from billing.services.operating import kill_switch
from tests.integration.answering import answer_as_before, answer_with, paid_with, status_with
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOT_FOUND = b'{"error":{"code":"not_found","message":"no such order","type":"x"}}'


def people(engine: Engine, count: int) -> tuple[Sequence[str], Sequence[UUID]]:
    """Make N customers with a monthly subscription that is due now."""
    engine.plan()
    customers = [engine.customer() for _ in range(count)]
    return customers, [engine.subscribe(customer) for customer in customers]


def declined_as(fault: Fault) -> Outcome:
    """A decline that the whole table knows."""
    return Declined(fault, "E1", "no")


@pytest.mark.parametrize("fault", [Fault.HARD, Fault.WALLET])
def test_a_gateway_that_declines_everybody_stops_charging_and_ends_nothing(
    engine: Engine, fault: Fault
) -> None:
    """No subscription or wallet ends; an operator starts charging, and all are charged once."""
    customers, subscriptions = people(engine, 30)
    for customer in customers:
        code = "suspected_fraud" if fault is Fault.HARD else "invalid_token"
        engine.script("decline", customer, code=code, message="no")
    engine.tick()

    [told] = engine.told("engine.charging_stopped")
    assert told["actor"] == "guard"
    assert "BILLING_BREAKER_SHARE_PERCENT" in told["reason"]
    engine.set_clock(engine.now + HOUR)
    for _ in range(3):
        engine.forget_leases()
        engine.tick()
        engine.set_clock(engine.now + HOUR)
    assert {engine.status(s) for s in subscriptions} == {"active"}
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}
    assert {c["status"] for s in subscriptions for c in engine.charges(s)} <= {"unknown"}

    engine.no_more_scripts()  # the customers after the stop would be declined now
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.advance(2 * HOUR)

    assert {engine.status(s) for s in subscriptions} == {"active"}
    assert {len(engine.debits(customer)) for customer in customers} == {1}
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}


@pytest.mark.parametrize("kind", ["pending", "token_expired"])
def test_a_status_page_that_ends_every_wait_expires_no_wallet(engine: Engine, kind: str) -> None:
    """All charges PENDING and then not found: charging stops; an operator may start it again."""
    customers, subscriptions = people(engine, 30)
    for customer in customers:
        engine.script(kind, customer, end="SUCCESS", after_queries=0)
    engine.tick()
    page = answer_with(engine, check_status=status_with(404, NOT_FOUND))
    for step in (MINUTE, 20 * MINUTE, 2 * HOUR, 2 * HOUR):
        engine.set_clock(engine.now + step)
        engine.forget_leases()
        engine.tick()

    assert [told["actor"] for told in engine.told("engine.charging_stopped")] == ["guard"]
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}
    assert {c["status"] for s in subscriptions for c in engine.charges(s)} == {"pending"}
    answer_as_before(engine, page)
    engine.no_more_scripts()
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.advance(2 * DAY)
    assert {len(engine.debits(customer)) for customer in customers} == {1}
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}


def test_expired_tokens_of_everybody_expire_no_wallet(engine: Engine) -> None:
    """TOKEN_EXPIRED and then FAILED for all: no customer has to link again for that."""
    customers, subscriptions = people(engine, 30)
    for customer in customers:
        engine.script("token_expired", customer, end="FAILED", after_queries=0)
    engine.tick()
    for step in (MINUTE, 10 * MINUTE, 2 * HOUR, 2 * HOUR):
        engine.set_clock(engine.now + step)
        engine.forget_leases()
        engine.tick()

    assert [told["actor"] for told in engine.told("engine.charging_stopped")] == ["guard"]
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}
    engine.no_more_scripts()
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.advance(2 * HOUR)
    assert {len(engine.debits(customer)) for customer in customers} == {1}
    assert {w["status"] for c in customers for w in engine.wallets(c)} == {"active"}
    assert {engine.status(s) for s in subscriptions} == {"active"}


def test_a_breaker_that_trips_while_charging_is_stopped_says_so(engine: Engine) -> None:
    """Charging was stopped by an operator, and odd answers follow: both reasons are shown."""
    people(engine, 25)
    opening_batches.open_due(engine.context)
    due = charging.lease_due(engine.context, 100)
    payments = claiming.claim(engine.context, dict.fromkeys(due))
    kill_switch.stop_charging(engine.context, Actor("operator", "lunch"))
    stopped_at = engine.one("SELECT stopped_at FROM engine")
    answer_with(engine, pay=lambda _payment: declined_as(Fault.HARD))
    charging.send(engine.context, payments)

    [by_hand, by_guard] = engine.told("engine.charging_stopped")
    assert (by_hand["actor"], by_guard["actor"]) == ("operator", "guard")
    reason = engine.one("SELECT stopped_reason FROM engine")
    assert reason == f"lunch; {by_guard['reason']}"
    assert engine.one("SELECT stopped_at FROM engine") == stopped_at


def test_pages_of_a_proxy_stop_charging(engine: Engine) -> None:
    """They settle nothing; an alarm is raised, and no further charges are sent."""
    customers, subscriptions = people(engine, 25)
    proxy = answer_with(engine, pay=paid_with(403, b'{"message":"Forbidden"}'))
    engine.tick()

    assert len(engine.told("engine.charging_stopped")) == 1
    assert engine.subscribe(engine.customer())
    answer_as_before(engine, proxy)
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.advance(2 * HOUR)

    assert {len(engine.debits(customer)) for customer in customers} == {1}
    assert {engine.status(s) for s in subscriptions} == {"active"}


def test_a_few_hard_declines_are_usual(engine: Engine) -> None:
    """Two of fifty are canceled, after a status query; charging continues."""
    customers, subscriptions = people(engine, 50)
    for customer in customers[:2]:
        engine.script("decline", customer, code="suspected_fraud", message="no")

    engine.advance(HOUR)

    assert engine.told("engine.charging_stopped") == []
    states = [engine.status(s) for s in subscriptions]
    assert states == ["canceled"] * 2 + ["active"] * 48


def test_want_of_money_is_not_odd(engine: Engine) -> None:
    """The day before payday half the wallets may be empty: that is what dunning is for."""
    people_, _ = people(engine, 25)
    for customer in people_:
        engine.put_cash(customer, 0)

    engine.run()

    assert engine.told("engine.charging_stopped") == []


@pytest.mark.parametrize(
    ("settings", "count", "stops"),
    [
        ({"breaker_answers_min": 5, "breaker_share_percent": 100}, 5, True),
        ({"breaker_answers_min": 6, "breaker_share_percent": 100}, 5, False),
        ({"breaker_answers_min": 1, "breaker_share_percent": 0}, 5, False),
        ({"breaker_answers_min": 1, "breaker_share_percent": 1}, 1, True),
    ],
)
def test_settings_decide_which_share_is_unusual(
    emptied: Kept,
    gateway: SandboxProcess,
    settings: dict[str, int],
    count: int,
    stops: bool,
) -> None:
    """It needs a minimum number of answers, and a share of them; zero never stops charging."""
    with running(emptied, gateway, **settings) as engine:
        people(engine, count)
        engine.audited = False

        def pay(_payment: SealedPayment) -> Outcome:
            return declined_as(Fault.HARD)

        answer_with(engine, pay=pay)
        engine.tick()
        assert (len(engine.told("engine.charging_stopped")) == 1) is stops


def test_two_processes_count_together(engine: Engine, other: Engine) -> None:
    """Each sees ten, which is too few; the one that comes second sees twenty."""
    people(engine, 20)
    opening_batches.open_due(engine.context)
    ids = [row["id"] for row in engine.rows("SELECT id FROM invoices")]
    odd = Unknown("http_403 unreadable", unrecognised=True)
    for one in (engine, other):
        answer_with(one, pay=lambda _payment: odd)
    charging.collect(engine.context, ids[:10])
    assert engine.told("engine.charging_stopped") == []
    charging.collect(other.context, ids[10:])

    answers = engine.rows("SELECT sum(answered) AS answered, sum(suspicious) AS odd FROM answers")
    assert answers == [{"answered": 20, "odd": 20}]
    assert len(engine.told("engine.charging_stopped")) == 1


def test_the_counts_of_an_hour_ago_are_forgotten(engine: Engine) -> None:
    """A minute's row of the previous hour is counted again; rows older than the window are not."""
    people(engine, 3)
    engine.execute(
        "INSERT INTO answers (slot, shard, minute, answered, suspicious)"
        " SELECT extract(minute FROM m), shard, m - interval '1 hour', 99, 99"
        " FROM date_trunc('minute', clock_timestamp()) AS m, generate_series(0, 15) AS shard"
    )
    engine.execute(
        "INSERT INTO answers (slot, shard, minute, answered, suspicious)"
        " SELECT extract(minute FROM m), 0, m, 99, 99"
        " FROM date_trunc('minute', clock_timestamp() - interval '10 minutes') AS m"
        " ON CONFLICT DO NOTHING"
    )
    answering = answer_with(engine, pay=lambda _payment: declined_as(Fault.HARD))
    engine.tick()
    answer_as_before(engine, answering)

    assert engine.told("engine.charging_stopped") == []
    assert engine.one(
        "SELECT sum(answered) FROM answers WHERE minute > clock_timestamp() - interval '5 minutes'"
    ) == 3  # fmt: skip
