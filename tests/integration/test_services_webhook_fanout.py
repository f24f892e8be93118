"""Deliveries are made in feed order, numbered for each subscription, listed and removed."""

from datetime import timedelta
from decimal import Decimal

from billing.domain.events import OPERATOR
from billing.services.reading import attention
from billing.services.webhooks import endpoints, event_feed, fanout, resending
from tests.integration.engine import Engine
from tests.integration.hooked import create, later, rows, tick
from tests.integration.receiver import Receiver, receiving, status


def test_old_deliveries_and_deleted_endpoints_are_removed(
    hooked: Engine, receiver: Receiver
) -> None:
    """Ninety days, in bounded batches; what is pending stays."""
    kept, _ = create(hooked, receiver.url, "plan.created")
    gone, _ = create(hooked, receiver.url, "plan.created")
    hooked.plan()
    tick(hooked)
    endpoints.delete(hooked.context, gone, OPERATOR)
    assert [each.id for each in endpoints.every(hooked.context.database)] == [kept]
    assert tick(hooked) == 0
    assert rows(hooked, gone) == []
    assert hooked.one("SELECT count(*) FROM webhook_endpoints") == 1

    hooked.execute("UPDATE webhook_deliveries SET created_at = created_at - interval '91 days'")
    fanout.tidy_up(hooked.context)
    assert rows(hooked, kept) == []


def test_nothing_is_done_without_an_endpoint(hooked: Engine) -> None:
    """The feed is not even numbered, so that charging costs nothing more."""
    hooked.begun()
    hooked.run()

    assert fanout.fan_out(hooked.context) == 0
    assert hooked.one("SELECT count(*) FROM event_feed") == 0


def test_events_that_are_committed_late_arrive(hooked: Engine, receiver: Receiver) -> None:
    """An event with a lower id that becomes visible after the fan-out is delivered as well."""
    create(hooked, receiver.url, "plan.created")
    raw = hooked.context.database._engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("INSERT INTO events (at, kind, actor, data)"
                   " VALUES (now(), 'plan.created', 'x', '{\"late\": true}')")  # fmt: skip
    hooked.plan()
    tick(hooked)
    raw.commit()
    raw.close()
    tick(hooked)

    late = [each.document["data"]["details"].get("late") for each in receiver.received]
    assert late == [None, True]


def test_the_sequence_is_the_same_for_each_endpoint(hooked: Engine, receiver: Receiver) -> None:
    """Also for an endpoint that began later, and for an attempt that was made later."""
    with receiving() as second:
        create(hooked, receiver.url, "charge.*", "invoice.*")
        hooked.begun()
        hooked.run()
        tick(hooked)
        create(hooked, second.url, "invoice.*")
        hooked.advance(timedelta(days=40))
        tick(hooked)

        def sequences(of: Receiver) -> dict[int, int]:
            return {
                each.document["data"]["position"]: each.document["data"]["sequence"]
                for each in of.received
            }

        one, two = sequences(receiver), sequences(second)
    assert two
    assert two.items() <= one.items()


def test_the_feed_numbers_what_the_deliveries_have(hooked: Engine, receiver: Receiver) -> None:
    """A reader of the feed and a receiver of webhooks speak of the same positions."""
    create(hooked, receiver.url)
    hooked.plan()
    tick(hooked)
    feed = event_feed.read_events(hooked.context, 0, 1000).events

    received = {
        each.document["data"]["position"]: each.document["type"] for each in receiver.received
    }
    assert received.items() <= {event.position: event.type for event in feed}.items()
    listed = resending.page(hooked.context.database, 100)
    assert {each.position: each.type for each in listed} == received


def test_webhook_trouble_is_in_the_list_for_operators(hooked: Engine, receiver: Receiver) -> None:
    """A failing endpoint, failed deliveries, a disabled endpoint; each with address and command."""

    def items() -> list[tuple[str, bool, str]]:
        listed = attention.listed(hooked.context.database, hooked.now, Decimal(10), 100)
        assert all((each.item.why or "").startswith(f"{receiver.url}: ") for each in listed)
        return [(each.item.cause, each.item.alarm, each.command) for each in listed]

    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url, "plan.created")
    hooked.plan()
    assert items() == []
    tick(hooked)
    assert items() == [("failing", False, f"billing webhook test {endpoint}")]
    hooked.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '61 minutes'")
    assert items() == [("failing", True, f"billing webhook test {endpoint}")]
    for _ in range(9):
        later(hooked)
        tick(hooked)
    assert rows(hooked, endpoint)[0]["status"] == "failed"
    hooked.execute("UPDATE webhook_endpoints SET failing_since = NULL")
    command = f"billing webhook deliveries --endpoint {endpoint} --status failed"
    assert items() == [("deliveries failed", False, command)]

    receiver.answer = status(410)
    hooked.plan("Q")
    tick(hooked)
    assert items() == [("disabled", True, f"billing webhook update {endpoint} --enable")]
    endpoints.update(hooked.context, endpoint, endpoints.Changes(enabled=True), OPERATOR)
    endpoints.update(hooked.context, endpoint, endpoints.Changes(enabled=False), OPERATOR)
    assert items() == [("deliveries failed", False, command)]
    endpoints.delete(hooked.context, endpoint, OPERATOR)
    assert items() == []
