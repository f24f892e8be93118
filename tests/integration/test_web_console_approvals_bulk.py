"""The console: an action in bulk touches only the rows that its pages show as they are now."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.services.context import Context
from billing.services.operating import approvals, held_rows
from billing.services.operating.held_rows import Kind
from billing.services.subscriptions import canceling
from tests.integration.answering import answer_as_before
from tests.integration.console import browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.personal import erase, state, traces
from tests.integration.test_services_charge_resolution import DAY, HOUR, lost, resolve, silent
from tests.integration.test_services_reopening import given_up
from tests.integration.test_web_console_approvals import LIMITS, WHO_DECIDES, id_of, who
from tests.integration.test_web_console_attention import form_of, within
from tests.integration.web import Web, serving
from tests.servers import Servers

UNCOLLECTIBLE = "/attention/bulk?kind=invoice&cause=uncollectible"
RELEASE = "/attention/bulk?kind=subscription&cause=held"


@pytest.fixture
def web(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The console with limits: above Rp 20,000, and above one row."""
    with serving(engine, shared_servers.own_redis(), **LIMITS) as made:
        yield made


class TestRows:
    """Which rows are touched."""

    def test_an_invented_row_is_not_part_of_the_request(self, engine: Engine, web: Web) -> None:
        """An invoice that waits for its next attempt is not due now because a form names it."""
        given_up(engine, periods=2)
        engine.subscribe(engine.customer(cash=0))
        engine.run()
        [(other, before)] = [
            (each["id"], each["next_attempt_at"])
            for each in engine.rows("SELECT id, next_attempt_at FROM invoices"
                                    " WHERE status = 'open'")
        ]  # fmt: skip
        with browsing(web, person(engine, Role.OPERATOR), person(engine)) as [one, two]:
            form = form_of(one.page(UNCOLLECTIBLE))
            form["ids"] += f",{other}"
            place = within(one.send("/attention/bulk", form).headers["Location"]).partition("?")[0]
            assert str(other) not in two.page(place)
            two.send(f"{place}/approve", WHO_DECIDES)
            alone = {**form, "ids": str(other), "key": "a" * 32}
            report = within(one.send("/attention/bulk", alone).headers["Location"])
            assert "nothing there is nothing to do any more" in text_of(one.page(report))
        found = engine.one("SELECT next_attempt_at FROM invoices WHERE id = :id", id=other)
        assert found == before
        assert engine.one("SELECT count(*) FROM approvals") == 1
        engine.run()

    def test_invented_rows_alone_are_not_asked_for(self, engine: Engine, web: Web) -> None:
        """The page says that nothing is there."""
        given_up(engine)
        with browsing(web, person(engine)) as [browser]:
            form = form_of(browser.page(UNCOLLECTIBLE))
            form["ids"] = ",".join(f"{n:032x}" for n in range(2))
            answer = browser.send("/attention/bulk", form)
            assert "There is nothing of this kind any more" in text_of(answer.text)
        assert engine.one("SELECT count(*) FROM approvals") == 0

    def test_a_contradicted_charge_is_not_released_under_another_cause(
        self, engine: Engine, web: Web
    ) -> None:
        """It needs a look: no action in bulk is offered for it, and none is done."""
        _, _, charge = lost(engine, moved=False)
        page = silent(engine)
        engine.advance(HOUR)
        resolve(engine, charge, succeeded=True)
        answer_as_before(engine, page)
        engine.advance(8 * DAY)
        engine.dead_ends = {"contradicted"}
        engine.audited = False
        form = {"key": "a" * 32, "kind": "charge", "cause": "held", "ids": str(charge)}
        with browsing(web, person(engine)) as [browser]:
            answer = browser.send("/attention/bulk", form | {"reason": "x"})
            said = text_of(browser.page(within(answer.headers["Location"])))
        assert "nothing there is nothing to do any more" in said
        assert engine.told("charge.released") == []

    def test_a_row_that_has_left_attention_is_left_alone(self, engine: Engine, web: Web) -> None:
        """The second person reads that it is refused, and it is: no attempt moves."""
        engine.plan("P", amount=50_000, every="1 month", retries="2d 2d 2d 2d")
        customers = [engine.customer(cash=0) for _ in range(2)]
        subscriptions = [engine.subscribe(each, "P") for each in customers]
        engine.advance(timedelta(days=2, hours=1))
        with browsing(web, person(engine, Role.OPERATOR), person(engine)) as [one, other]:
            form = form_of(one.page("/attention/bulk?kind=invoice&cause=waits for balance"))
            place = within(one.send("/attention/bulk", form).headers["Location"]).partition("?")[0]
            engine.execute(
                "UPDATE invoices SET blocked_on = NULL, shortfall = NULL"
                " WHERE subscription_id = :id",
                id=subscriptions[0],
            )
            [before] = engine.invoices(subscriptions[0])
            assert "refused there is nothing to do any more" in text_of(other.page(place))
            report = within(other.send(f"{place}/approve", WHO_DECIDES).headers["Location"])
            assert "1 of 2 invoices are due now" in text_of(other.page(report))
        [after] = engine.invoices(subscriptions[0])
        assert after["next_attempt_at"] == before["next_attempt_at"]
        engine.audited = False


def test_an_erasure_empties_the_reasons_of_an_action_that_names_the_customer(
    engine: Engine, web: Web
) -> None:
    """In the request, its events and the report; what names other customers keeps its reasons."""
    customer, subscription = given_up(engine, periods=2)
    engine.plan("other")
    others = [engine.subscribe(engine.customer(linked=False), "other") for _ in range(2)]
    for each in others:
        held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, each, ValueError("bad"))
    with browsing(web, person(engine, Role.OPERATOR), person(engine)) as [one, two]:
        for path, why in ((UNCOLLECTIBLE, "Siti called"), (RELEASE, "price corrected")):
            form = form_of(one.page(path), why)
            place = within(one.send("/attention/bulk", form).headers["Location"])
            two.send(f"{place.partition('?')[0]}/approve", {"reason": f"yes: {why}"})
    canceling.cancel(engine.context, subscription, OPERATOR)
    engine.advance(2 * DAY)
    erase(engine, customer)
    assert state(engine, customer)[1]
    assert traces(engine, ["siti"]) == set()
    reasons = engine.rows("SELECT reason, decision_reason FROM approvals ORDER BY reason")
    assert [tuple(each.values()) for each in reasons] == [
        ("erased", "erased"), ("price corrected", "yes: price corrected"),
    ]  # fmt: skip
    kept = traces(engine, ["price corrected"])
    assert {"approvals.reason", "events.reason", "commands.result"} <= kept


class TestInterrupted:
    """A process that ends between the decision and the report."""

    def test_the_person_who_approved_can_continue(
        self, engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pages say that it is not finished; nobody else continues; a row is done once."""
        names = [person(engine, Role.ADMIN, "Budi"), person(engine, Role.ADMIN, "Cici")]
        made, place = self.asked(engine, web)
        release = held_rows.release

        def dies(context: Context, kind: Kind, row_id: UUID, by: Actor) -> object:
            if row_id == made[1]:
                raise OSError("the process ended")
            return release(context, kind, row_id, by)

        with browsing(web, *names) as [other, third]:
            monkeypatch.setattr(held_rows, "release", dies)
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 500
            monkeypatch.undo()
            assert len(engine.told("subscription.released")) == 1
            for page in ("/approvals", place):
                assert "not finished" in text_of(third.page(page))
            engine.set_clock(engine.now + timedelta(minutes=16))
            said = text_of(third.page("/attention"))
            assert "1 approval not finished alarm" in said
            assert "approved by Budi, who can continue it" in said
            assert "waits for a second person" not in said
            assert "Continue" not in third.page(place)
            assert third.send(f"{place}/approve", WHO_DECIDES).status_code == 409
            form = hidden(other.page(place))
            report = within(other.send(f"{place}/approve", form).headers["Location"])
            assert "2 of 2 rows were released" in text_of(other.page(report))
            for page in (place, "/attention"):
                assert "not finished" not in text_of(other.page(page))
        assert len(engine.told("subscription.released")) == 2

    def test_after_the_end_nothing_is_continued_or_repeated(self, engine: Engine, web: Web) -> None:
        """Also when the keys of its rows were removed, and the rows are held again."""
        budi = person(engine, Role.ADMIN, "Budi")
        made, place = self.asked(engine, web)
        with browsing(web, budi) as [other]:
            other.send(f"{place}/approve", WHO_DECIDES)
            assert len(engine.told("subscription.released")) == 2
        engine.set_clock(engine.now + timedelta(hours=25))
        engine.execute("DELETE FROM commands")
        for each in made:
            held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, each, ValueError("bad"))
        with pytest.raises(IllegalMove, match="time of the request is over"):
            approvals.approve(engine.context, id_of(place), who(engine, "Budi"), "again")
        assert len(engine.told("subscription.released")) == 2
        engine.dead_ends = {"held"}

    def asked(self, engine: Engine, web: Web) -> tuple[list[UUID], str]:
        """Two held rows, and the path of a request to release them."""
        engine.plan()
        made = [engine.subscribe(engine.customer(linked=False)) for _ in range(2)]
        for each in made:
            held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, each, ValueError("bad"))
        with browsing(web, person(engine, Role.OPERATOR, "Ani")) as [one]:
            form = form_of(one.page("/attention/bulk?kind=subscription&cause=held"))
            place = within(one.send("/attention/bulk", form).headers["Location"])
        return sorted(made, key=lambda each: form["ids"].index(str(each))), place.partition("?")[0]
