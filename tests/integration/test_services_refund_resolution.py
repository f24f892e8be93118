"""Which answer about a refund is believed: the one to its first sending, then status queries."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, RefundTooLarge
from billing.domain.events import OPERATOR, Actor
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    RefundOrder,
    RefundOutcome,
    StatusOutcome,
    Succeeded,
    Unknown,
    Unsent,
)
from billing.domain.refund import RefundVerdict
from billing.services.money import refund_resolution, refunding
from billing.services.reading import auditing
from billing.store.queries import refunds as refund_rows
from tests.integration.engine import Engine, Row

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WHY = Actor("operator", "ticket")
REFUSED = Declined(Fault.HARD, "invalid_access", "Merchant is inactive")
FAILED = Declined(Fault.OTHER, "failed")
LOST = Unknown("timeout")


class Scripted:
    """The real client, whose answers about refunds are read from two lists; the last one stays."""

    def __init__(self, inner: Any, sent: list[RefundOutcome], asked: list[StatusOutcome]) -> None:
        self._inner, self._sent, self._asked = inner, sent, asked
        self.calls: list[str] = []
        self.meanwhile: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Answer a sending."""
        self.calls.append(f"send {order.request_id}")
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        return self._sent.pop(0) if len(self._sent) > 1 else self._sent[0]

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """Answer a status query."""
        self.calls.append(f"ask {identifier}")
        return self._asked.pop(0) if len(self._asked) > 1 else self._asked[0]


@pytest.fixture
def paid(engine: Engine) -> UUID:
    """A paid invoice of 50,000, with no other work to come for a year."""
    engine.audited = False  # the gateway's ledger knows nothing of answers that are made up
    _, subscription = engine.begun(every="1 year")
    engine.run()
    return UUID(str(engine.invoices(subscription)[0]["id"]))


def begin(
    engine: Engine, invoice: UUID, sent: list[RefundOutcome], asked: list[StatusOutcome]
) -> Scripted:
    """Request a refund of 10,000 from a gateway with these answers; it is sent once."""
    scripted = Scripted(engine.context.gateway, sent, asked)
    engine.context = replace(engine.context, gateway=scripted)
    refunding.refund_invoice(engine.context, invoice, 10_000, WHY)
    engine.run()
    return scripted


def refund_of(engine: Engine) -> Row:
    """The only refund."""
    [row] = engine.rows("SELECT * FROM refunds")
    return row


def status(engine: Engine) -> str:
    """The only refund's status."""
    return str(refund_of(engine)["status"])


def reserved(engine: Engine) -> int:
    """What counts as refunded of the only charge."""
    return int(engine.one("SELECT refunded FROM charges"))


def resolve(engine: Engine, verdict: RefundVerdict) -> dict[str, Any]:
    """Resolve the only refund."""
    number = refund_of(engine)["id"]
    return refund_resolution.resolve_refund(engine.context, number, verdict, WHY)


def found(engine: Engine) -> list[str]:
    """The names of the invariants that do not hold."""
    return [finding.name for finding in auditing.audit(engine.context)]


@pytest.mark.parametrize("asked", [FAILED, NotFound()])
def test_a_decline_is_final_when_the_gateway_says_so_once_more(
    engine: Engine, paid: UUID, asked: StatusOutcome
) -> None:
    """A minute later there is a status query; until then the money stays reserved."""
    calls = begin(engine, paid, [REFUSED], [asked]).calls
    assert (status(engine), reserved(engine)) == ("unknown", 10_000)
    engine.advance(59 * MINUTE / 60)
    assert len(calls) == 1

    engine.advance(MINUTE)

    number = refund_of(engine)["id"]
    assert calls == [f"send {number}", f"ask {number}"]
    assert (status(engine), reserved(engine)) == ("declined", 0)
    assert refund_of(engine)["code"] == "invalid_access"


def test_a_decline_that_the_gateway_takes_back_was_none(engine: Engine, paid: UUID) -> None:
    """Check Status says that the refund succeeded: it counts."""
    begin(engine, paid, [REFUSED], [Succeeded()])
    engine.advance(2 * MINUTE)
    assert (status(engine), reserved(engine)) == ("succeeded", 10_000)


def test_a_decline_that_nobody_confirms_is_parked(engine: Engine, paid: UUID) -> None:
    """While the outcome is unknown, nothing is released, and an operator is told in the end."""
    begin(engine, paid, [REFUSED], [LOST])
    engine.advance(DAY)
    assert (status(engine), reserved(engine)) == ("unknown", 10_000)
    assert refund_of(engine)["parked_at"] is not None
    assert refund_of(engine)["code"] == "invalid_access"


def test_a_decline_of_a_second_sending_is_no_end(engine: Engine, paid: UUID) -> None:
    """The first answer was lost, the second sending gets 403: unknown, and nothing moves.

    The gateway may refuse a repeated request for any reason; the first one may have paid.
    """
    calls = begin(engine, paid, [LOST, REFUSED], [NotFound()]).calls
    engine.advance(DAY)

    assert len([call for call in calls if call.startswith("send")]) > 1
    assert len({call.rpartition(" ")[2] for call in calls}) == 1
    assert (status(engine), reserved(engine)) == ("unknown", 10_000)
    assert refund_of(engine)["parked_at"] is not None
    with pytest.raises(RefundTooLarge):
        refunding.refund_invoice(engine.context, paid, 50_000, WHY)


def test_a_failed_read_once_is_no_end_and_read_twice_it_is(engine: Engine, paid: UUID) -> None:
    """After an unknown sending FAILED counts when it is repeated five minutes later."""
    calls = begin(engine, paid, [LOST], [FAILED]).calls
    engine.advance(MINUTE)
    assert (status(engine), len(calls)) == ("unknown", 2)
    engine.advance(4 * MINUTE)
    assert (status(engine), len(calls)) == ("unknown", 2)
    engine.advance(MINUTE)
    assert (status(engine), reserved(engine), len(calls)) == ("declined", 0, 3)


def test_a_failed_that_does_not_last_is_none(engine: Engine, paid: UUID) -> None:
    """FAILED, then SUCCESS: the refund succeeded."""
    begin(engine, paid, [LOST], [FAILED, Succeeded()])
    engine.advance(HOUR)
    assert (status(engine), reserved(engine)) == ("succeeded", 10_000)


def test_not_found_is_believed_after_the_horizon_only(engine: Engine, paid: UUID) -> None:
    """For fifteen minutes a request may still be on its way; then it is sent again."""
    calls = begin(engine, paid, [LOST, Succeeded()], [NotFound()]).calls
    engine.advance(14 * MINUTE)
    assert [call[:3] for call in calls] == ["sen", "ask", "ask"]
    engine.advance(MINUTE)
    assert [call[:3] for call in calls] == ["sen", "ask", "ask", "ask", "sen"]
    assert status(engine) == "succeeded"


def test_an_unsent_attempt_does_not_count_as_a_sending(engine: Engine, paid: UUID) -> None:
    """The next sending is the only one, so that its decline needs only one confirmation."""
    begin(engine, paid, [Unsent("refused"), REFUSED], [FAILED])
    engine.advance(MINUTE)
    assert (status(engine), refund_of(engine)["attempts"]) == ("unknown", 2)
    engine.advance(MINUTE)
    assert status(engine) == "declined"


@pytest.mark.parametrize("late", [Unsent("refused"), REFUSED, LOST])
def test_a_late_answer_of_an_older_sending_is_not_that_of_the_newer_one(
    engine: Engine, other: Engine, paid: UUID, late: RefundOutcome
) -> None:
    """While the first call hangs, the refund is sent again; what the first one says is ignored."""
    second = Scripted(other.context.gateway, [Succeeded()], [NotFound()])
    other.context = replace(other.context, gateway=second)
    seen: list[Row] = []

    def overtaken() -> None:
        number = refund_of(engine)["id"]
        engine.set_clock(engine.now + 20 * MINUTE)
        second.meanwhile = lambda: (scripted_answers_first(number), seen.append(refund_of(engine)))
        refunding.send_due(other.context, number)

    def scripted_answers_first(number: UUID) -> None:
        assert refund_of(engine)["status"] == "in_flight"
        assert refund_of(engine)["attempts"] == 2
        first = refunding._Sending(number, RefundOrder(str(number), "", "", 10_000, ""), attempts=1)
        hung = Scripted(engine.context.gateway, [late], [NotFound()])
        refunding._send(replace(engine.context, gateway=hung), first)

    scripted = Scripted(engine.context.gateway, [LOST], [NotFound()])
    engine.context = replace(engine.context, gateway=scripted)
    refunding.refund_invoice(engine.context, paid, 10_000, WHY)
    scripted.meanwhile = overtaken
    engine.tick()

    assert [(row["status"], row["attempts"]) for row in seen] == [("in_flight", 2)]
    assert (status(engine), refund_of(engine)["attempts"]) == ("succeeded", 2)
    assert reserved(engine) == 10_000


def test_a_refund_is_leased_until_its_lease_ends(engine: Engine, paid: UUID) -> None:
    """A lost message is sent again: a lease excludes other workers only for its time."""
    refunding.refund_invoice(engine.context, paid, 10_000, WHY)
    number = refund_of(engine)["id"]
    assert refunding.lease_due(engine.context, 10) == [number]
    assert refunding.lease_due(engine.context, 10) == []

    engine.execute("UPDATE refunds SET leased_until = clock_timestamp() - interval '1 second'")

    assert refunding.lease_due(engine.context, 10) == [number]
    engine.forget_leases()
    engine.run()
    assert status(engine) == "succeeded"


@pytest.mark.parametrize("state", ["requested", "unknown"])
def test_a_copy_of_the_database_neither_sends_nor_asks(
    engine: Engine, paid: UUID, state: str
) -> None:
    """A leftover message in a database of another gateway makes no call."""
    calls = begin(engine, paid, [LOST], [LOST]).calls
    engine.execute("UPDATE refunds SET status = :s, next_attempt_at = :at", s=state, at=engine.now)
    engine.execute("UPDATE engine SET gateway_host = 'elsewhere.example.com'")
    before = len(calls)

    refunding.send_due(engine.context, refund_of(engine)["id"])

    assert len(calls) == before
    assert (status(engine), refund_of(engine)["attempts"]) == (state, 1)
    assert refunding.lease_due(engine.context, 10) == []
    with pytest.raises(IllegalMove, match=r"another gateway|neither parked"):
        resolve(engine, RefundVerdict.DECLINED)


class TestAPersonsWord:
    """`billing refunds resolve` queries the gateway first, and is refused for a young refund."""

    def parked(self, engine: Engine, paid: UUID, answers: list[StatusOutcome]) -> Scripted:
        """Make an unknown refund; its status queries get these answers."""
        scripted = begin(engine, paid, [LOST], [LOST])
        engine.advance(DAY)
        assert refund_of(engine)["parked_at"] is not None
        scripted._asked = answers
        return scripted

    def test_a_resolution_is_refused_while_the_gateway_is_being_asked(
        self, engine: Engine, paid: UUID
    ) -> None:
        """Ten minutes after the sending it may still be on its way."""
        begin(engine, paid, [LOST], [LOST])
        engine.advance(10 * MINUTE)
        with pytest.raises(IllegalMove, match="neither parked nor older than 15 minutes"):
            resolve(engine, RefundVerdict.DECLINED)
        assert reserved(engine) == 10_000

    @pytest.mark.parametrize(
        ("verdict", "answer"),
        [
            (RefundVerdict.DECLINED, Succeeded()),
            (RefundVerdict.SUCCEEDED, FAILED),
        ],
    )
    def test_a_resolution_is_refused_when_the_gateway_says_the_opposite(
        self, engine: Engine, paid: UUID, verdict: RefundVerdict, answer: StatusOutcome
    ) -> None:
        """The gateway's answer wins, and the refusal names the right verdict."""
        self.parked(engine, paid, [answer])
        with pytest.raises(IllegalMove, match="the gateway says"):
            resolve(engine, verdict)
        assert (status(engine), reserved(engine)) == ("unknown", 10_000)

    @pytest.mark.parametrize(
        ("verdict", "ended", "left"),
        [(RefundVerdict.DECLINED, "declined", 0), (RefundVerdict.SUCCEEDED, "succeeded", 10_000)],
    )
    def test_a_resolution_settles_a_refund_that_the_gateway_cannot_tell(
        self, engine: Engine, paid: UUID, verdict: RefundVerdict, ended: str, left: int
    ) -> None:
        """The event has the gateway's answer; a day later there is one more status query."""
        scripted = self.parked(engine, paid, [LOST])
        told = resolve(engine, verdict)
        assert told["gateway"] == "unknown (timeout)"
        assert (status(engine), reserved(engine)) == (ended, left)
        assert (
            engine.told(f"refund.{ended.replace('declined', 'failed')}")[0]["data"]["gateway"]
            == told["gateway"]
        )
        assert engine.one("SELECT amount_refunded FROM invoices") == left

        scripted._asked = [Succeeded() if left else NotFound()]
        engine.advance(2 * DAY)

        assert engine.told("refund.contradicted") == []
        assert refund_of(engine)["next_attempt_at"] is None
        assert found(engine) == []

    def test_a_success_that_turns_up_later_is_booked(self, engine: Engine, paid: UUID) -> None:
        """Declared declined, and the gateway had paid it: the money is still there, and counts."""
        scripted = self.parked(engine, paid, [NotFound()])
        resolve(engine, RefundVerdict.DECLINED)
        scripted._asked = [Succeeded()]
        engine.advance(2 * DAY)

        assert (status(engine), reserved(engine)) == ("succeeded", 10_000)
        [told] = engine.told("refund.contradicted")
        assert (told["data"]["booked"], told["data"]["gateway"]) == (True, "succeeded")
        assert found(engine) == []

    @pytest.mark.parametrize("verdict", [RefundVerdict.DECLINED, RefundVerdict.SUCCEEDED])
    def test_a_contradiction_that_cannot_be_booked_waits_for_a_person(
        self, engine: Engine, paid: UUID, verdict: RefundVerdict
    ) -> None:
        """Returned otherwise, or never: the audit names it until it is acknowledged."""
        scripted = self.parked(engine, paid, [LOST])
        resolve(engine, verdict)
        if verdict is RefundVerdict.DECLINED:
            scripted._sent = [Succeeded()]
            refunding.refund_invoice(engine.context, paid, 50_000, WHY)
            engine.run()
        scripted._asked = [Succeeded() if verdict is RefundVerdict.DECLINED else FAILED]
        engine.advance(2 * DAY)

        assert found(engine) == ["no refund is contradicted by the gateway"]
        with engine.context.database.transaction() as connection:
            [waiting] = refund_rows.waiting_for_a_person(connection, 10)
        assert waiting.kind == "contradicted"
        refund_resolution.acknowledge_contradiction(engine.context, waiting.id, WHY)
        assert found(engine) == []
        with pytest.raises(IllegalMove, match="nothing contradicts"):
            refund_resolution.acknowledge_contradiction(engine.context, waiting.id, WHY)

    def test_a_refund_that_was_never_received_is_not_resolved_as_succeeded(
        self, engine: Engine, paid: UUID
    ) -> None:
        """Unsent for ten days, it is parked; an operator may resolve it as declined only."""
        begin(engine, paid, [Unsent("refused")], [NotFound()])
        engine.advance(15 * DAY)
        assert (status(engine), refund_of(engine)["parked_at"] is None) == ("requested", False)
        with pytest.raises(IllegalMove, match="never received"):
            resolve(engine, RefundVerdict.SUCCEEDED)
        resolve(engine, RefundVerdict.DECLINED)
        assert (status(engine), reserved(engine)) == ("declined", 0)


def test_operator_is_named_in_every_event_of_a_decision(engine: Engine, paid: UUID) -> None:
    """The event has the actor and the reason of the decision."""
    begin(engine, paid, [LOST], [LOST])
    engine.advance(DAY)
    number = refund_of(engine)["id"]
    refund_resolution.retry_refund(engine.context, number, Actor(OPERATOR.name, "again"))
    [told] = engine.told("refund.retry_requested")
    assert (told["actor"], told["reason"]) == ("operator", "again")
