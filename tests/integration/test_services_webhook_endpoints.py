"""Endpoints are created, changed, rotated, tested and deleted; deliveries are sent again."""

from uuid import uuid4

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import OPERATOR
from billing.domain.webhooks import DeliveryStatus
from billing.sandbox.process import SandboxProcess
from billing.services.context import Request
from billing.services.operating import token_keys
from billing.services.webhooks import endpoints, fanout, resending
from billing.services.webhooks.endpoints import Changes
from billing.store.queries import metrics
from tests.integration.engine import Engine, running
from tests.integration.hooked import create, later, rows, tick
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver, status


def test_secrets_are_stored_encrypted_and_appear_in_no_event(hooked: Engine) -> None:
    """Neither in a row nor in an event nor in the answer that a key stores."""
    request = Request("k", "api.create_webhook", {})
    made = endpoints.create(hooked.context, "https://shop.example/h", OPERATOR, request=request)
    again = endpoints.create(hooked.context, "https://shop.example/h", OPERATOR, request=request)
    rotated = endpoints.rotate_secret(hooked.context, made.endpoint.id, OPERATOR)

    assert again == made
    assert rotated.secret != made.secret
    stored = hooked.one("""SELECT concat((SELECT string_agg(CAST(e AS text), '') FROM events e),
        (SELECT string_agg(CAST(c AS text), '') FROM commands c),
        (SELECT string_agg(CAST(w AS text), '') FROM webhook_endpoints w))""")
    for secret in (made.secret, rotated.secret):
        assert secret not in stored
        assert secret.removeprefix("whsec_") not in stored
    assert not any("secret" in name for name in made.endpoint._fields if name.endswith("sealed"))


def test_both_secrets_sign_for_a_day_after_a_rotation(hooked: Engine, receiver: Receiver) -> None:
    """Then the previous one does not sign any more."""
    endpoint, old = create(hooked, receiver.url, "plan.created")
    new = endpoints.rotate_secret(hooked.context, endpoint, OPERATOR).secret
    hooked.plan()
    tick(hooked)
    receiver.received[0].verify(old)
    receiver.received[0].verify(new)

    hooked.execute("UPDATE webhook_endpoints"
                   " SET previous_secret_until = now() - interval '1 second'")  # fmt: skip
    hooked.plan("Q")
    tick(hooked)
    receiver.received[1].verify(new)
    with pytest.raises(WebhookVerificationError):
        receiver.received[1].verify(old)


def test_the_keys_check_covers_webhook_secrets(
    hooked: Engine, emptied: Kept, gateway: SandboxProcess, receiver: Receiver
) -> None:
    """A key that was removed too early is found; a new secret works at once."""
    made = endpoints.create(hooked.context, receiver.url, OPERATOR)
    endpoints.rotate_secret(hooked.context, made.endpoint.id, OPERATOR)
    assert token_keys.check(hooked.context) == ""
    key, here = "A" * 43 + "=", "127.0.0.1"
    with running(emptied, gateway, token_key=key, webhook_allowed_hosts=here) as lost:
        lost.audited = False
        tried = token_keys.try_all(lost.context.database, lost.context.vault)
        assert "billing webhook rotate-secret" in token_keys.trouble(tried)
        new = endpoints.rotate_secret(lost.context, made.endpoint.id, OPERATOR).secret
        assert endpoints.send_test(lost.context, made.endpoint.id).succeeded
    receiver.received[0].verify(new)

    assert [each for each in tried if each.what == "webhook secrets"] == [
        token_keys.Opened("webhook secrets", 2, 2)
    ]


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "https://127.0.0.2/", "https://u:p@shop.example/", "x"]
)
def test_a_url_that_is_not_allowed_is_refused(hooked: Engine, url: str) -> None:
    """At the creation and at a change; nothing is written."""
    made = endpoints.create(hooked.context, "https://shop.example/", OPERATOR).endpoint
    before = hooked.counts()
    with pytest.raises(InvalidValue):
        endpoints.create(hooked.context, url, OPERATOR)
    with pytest.raises(InvalidValue):
        endpoints.update(hooked.context, made.id, Changes(url=url), OPERATOR)

    assert hooked.counts() == before
    assert endpoints.every(hooked.context.database) == [made]


def test_a_change_is_recorded_and_a_disabled_endpoint_starts_at_the_end(
    hooked: Engine, receiver: Receiver
) -> None:
    """What happened while it was disabled is not sent, until it is replayed."""
    endpoint, _ = create(hooked, receiver.url, "plan.created")
    shown = endpoints.update(
        hooked.context, endpoint, Changes(event_types=["plan.*"], description="ERP"), OPERATOR
    )
    assert (shown.event_types, shown.description) == (["plan.*"], "ERP")
    hooked.plan()
    endpoints.update(hooked.context, endpoint, Changes(enabled=False), OPERATOR)
    hooked.plan("Q")
    tick(hooked)
    with pytest.raises(IllegalMove, match="disabled"):
        resending.replay(hooked.context, endpoint, OPERATOR, after=0)
    endpoints.update(hooked.context, endpoint, Changes(enabled=True), OPERATOR)
    hooked.plan("R")
    tick(hooked)
    plans = [each.document["data"]["details"]["plan"] for each in receiver.received]
    assert plans == ["R"]

    assert resending.replay(hooked.context, endpoint, OPERATOR, after=0) == 3
    tick(hooked)
    plans = [each.document["data"]["details"]["plan"] for each in receiver.received]
    assert sorted(plans) == ["P", "Q", "R", "R"]
    assert len({each.webhook_id for each in receiver.received}) == 3
    kinds = [row["kind"] for row in hooked.rows(
        "SELECT kind FROM events WHERE kind LIKE 'webhook.%' ORDER BY id")]  # fmt: skip
    assert kinds == [
        "webhook.created", "webhook.updated", "webhook.disabled", "webhook.enabled",
        "webhook.replayed",
    ]  # fmt: skip


def test_a_deleted_endpoint_leaves_no_count(hooked: Engine, receiver: Receiver) -> None:
    """Between the deletion and the tick that removes its rows, nothing waits, failed or is off."""
    kept, _ = create(hooked, f"{receiver.url}/kept", "plan.created")
    gone, _ = create(hooked, f"{receiver.url}/gone", "plan.created")
    hooked.plan("P1")
    hooked.plan("P2")
    fanout.fan_out(hooked.context)
    hooked.execute(
        "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL,"
        " settled_at = now() WHERE event_id = (SELECT max(event_id) FROM webhook_deliveries)"
    )
    for deleted, each in ((None, 2), (gone, 1), (kept, 0)):
        if deleted is not None:
            endpoints.delete(hooked.context, deleted, OPERATOR)
        with hooked.context.database.transaction() as connection:
            now = metrics.read_now(connection)
        assert (now.pending_deliveries, now.failed_deliveries) == (each, each)
        assert (now.oldest_pending_at is None) == (each == 0)
        assert now.disabled_endpoints == 0


def test_a_replay_has_a_range(hooked: Engine, receiver: Receiver) -> None:
    """From behind a position up to another one; an empty range is refused."""
    endpoint, _ = create(hooked, receiver.url, "plan.*")
    for code in "PQRS":
        hooked.plan(code)
    tick(hooked)
    positions = [each.document["data"]["position"] for each in receiver.received]
    after, _, until, _ = sorted(positions)
    assert resending.replay(hooked.context, endpoint, OPERATOR, after=after, until=until) == 2
    for wrong in (10**9, -1):
        with pytest.raises(InvalidValue, match="no event"):
            resending.replay(hooked.context, endpoint, OPERATOR, after=wrong)


def test_a_test_is_sent_at_once_and_stored_nowhere(hooked: Engine, receiver: Receiver) -> None:
    """The operator sees what the receiver answers."""
    endpoint, secret = create(hooked, receiver.url)
    before = hooked.counts()
    assert endpoints.send_test(hooked.context, endpoint).succeeded
    receiver.received[0].verify(secret)
    assert receiver.kinds() == ["webhook.test"]
    receiver.answer = status(404)
    assert endpoints.send_test(hooked.context, endpoint).error == "http_404"

    assert hooked.counts() == before
    assert rows(hooked, endpoint) == []


def test_deliveries_are_listed_by_pages_and_status(hooked: Engine, receiver: Receiver) -> None:
    """The latest first; a page begins behind the last delivery of the one before."""
    receiver.answer = status(500)
    endpoint, _ = create(hooked, receiver.url, "plan.*")
    other, _ = create(hooked, "http://127.0.0.1:9/", "plan.*")
    for code in "PQRST":
        hooked.plan(code)
    tick(hooked)
    database = hooked.context.database
    every = resending.page(database, 100, endpoint_id=endpoint)
    assert len(every) == 5
    assert [each.position for each in every] == sorted(
        (each.position for each in every), reverse=True
    )
    first = resending.page(database, 2, endpoint_id=endpoint)
    second = resending.page(database, 100, endpoint_id=endpoint, before=first[-1].id)
    assert first + second == every
    assert len(resending.page(database, 100)) == 10
    assert resending.page(database, 100, status=DeliveryStatus.SUCCEEDED) == []
    receiver.answer = status(200)
    later(hooked)
    tick(hooked)
    done = resending.page(database, 100, status=DeliveryStatus.SUCCEEDED)
    assert {each.endpoint for each in done} == {endpoint}
    assert {each.endpoint for each in resending.page(database, 100)} == {endpoint, other}


def test_an_endpoint_that_is_not_known_is_refused(hooked: Engine) -> None:
    """One line, nothing written; a deleted endpoint is not known either."""
    made = endpoints.create(hooked.context, "https://shop.example/", OPERATOR).endpoint
    endpoints.delete(hooked.context, made.id, OPERATOR)
    database = hooked.context.database
    for wrong in (uuid4(), made.id):
        for act in (
            lambda wrong=wrong: endpoints.one(database, wrong),
            lambda wrong=wrong: endpoints.update(
                hooked.context, wrong, Changes(enabled=True), OPERATOR
            ),
            lambda wrong=wrong: endpoints.delete(hooked.context, wrong, OPERATOR),
            lambda wrong=wrong: endpoints.rotate_secret(hooked.context, wrong, OPERATOR),
            lambda wrong=wrong: endpoints.send_test(hooked.context, wrong),
            lambda wrong=wrong: resending.replay(hooked.context, wrong, OPERATOR, after=0),
            lambda wrong=wrong: resending.resend(hooked.context, wrong, OPERATOR),
        ):
            with pytest.raises(NotKnown):
                act()
    with pytest.raises(InvalidValue, match="nothing to change"):
        endpoints.update(hooked.context, made.id, Changes(), OPERATOR)


def test_there_is_a_limit_of_endpoints(hooked: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is stored and sent for each of them."""
    monkeypatch.setattr(endpoints, "ENDPOINTS_MAX", 2)
    for _ in range(2):
        endpoints.create(hooked.context, "https://shop.example/", OPERATOR)
    with pytest.raises(IllegalMove, match="2 endpoints"):
        endpoints.create(hooked.context, "https://shop.example/", OPERATOR)
