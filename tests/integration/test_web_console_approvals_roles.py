"""The console: who may approve what, actions in bulk, and hostile names on these pages."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from billing.domain.approvals import NEEDS, TRANSITIONS, Approvable, ApprovalStatus
from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Action, Role
from billing.services.operating import approvals, held_rows, people
from billing.services.operating.held_rows import Kind
from billing.services.reading import approvals as reading
from billing.services.subscriptions import canceling
from tests.integration.console import browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.personal import erase
from tests.integration.test_services_reopening import given_up
from tests.integration.test_web_console_approvals import (
    LIMITS,
    WHO_DECIDES,
    asked,
    id_of,
    limited,
    who,
)
from tests.integration.test_web_console_attention import form_of, within
from tests.integration.test_web_console_invoice import paid
from tests.integration.web import Web, serving
from tests.servers import Servers


@pytest.fixture
def web(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The console with limits: above Rp 20,000, and above one row."""
    with serving(engine, shared_servers.own_redis(), **LIMITS) as made:
        yield made


class TestRoles:
    """Who may decide."""

    def test_a_role_decides_what_it_may_do_itself(self, engine: Engine, web: Web) -> None:
        """A refund needs `refund`; everybody sees the request, and no button that is refused."""
        customer, invoice = paid(engine)
        names = [person(engine, Role.FINANCE, "X"), *(person(engine, role) for role in Role)]
        able = {Role.OPERATOR, Role.FINANCE, Role.ADMIN}
        with browsing(web, *names) as [one, *others]:
            place = asked(one, invoice)
            for role, other in zip(Role, others, strict=True):
                assert ("/approve" in other.page(place)) == (role in able), role
                if role not in able:
                    assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 403
            assert engine.refunds(customer) == []
            assert others[-1].send(f"{place}/approve", WHO_DECIDES).status_code == 303
        assert len(engine.refunds(customer)) == 1

    @pytest.mark.parametrize("what", ["created", "password", "role", "factor", "no factor"])
    def test_access_that_is_newer_than_the_request_approves_nothing(
        self, engine: Engine, web: Web, what: str
    ) -> None:
        """An admin who asks would be both people; such a person may decline it."""
        customer, invoice = paid(engine)
        ani, budi = person(engine, Role.ADMIN, "Ani"), "Budi"
        context, by = engine.context, Actor("Ani", "mine")
        if what != "created":
            person(engine, Role.ADMIN if what != "role" else Role.FINANCE, budi)
        if what == "no factor":
            people.set_second_factor(context, budi, by)
        with browsing(web, ani) as [one]:
            place = asked(one, invoice)
        changes: dict[str, Callable[[], object]] = {
            "created": lambda: person(engine, Role.ADMIN, budi),
            "password": lambda: people.set_password(context, budi, "another long password", by),
            "role": lambda: people.set_role(context, budi, "admin", by),
            "factor": lambda: people.set_second_factor(context, budi, by),
            "no factor": lambda: people.remove_second_factor(context, budi, by),
        }
        changes[what]()
        if what == "created":
            with browsing(web, budi) as [other]:
                page = other.page(place)
                assert "after this was asked: another person must approve it" in text_of(page)
                assert ">Approve</button>" not in page
                assert ">Decline</button>" in page
        with pytest.raises(IllegalMove, match="after this was asked"):
            approvals.approve(limited(engine), id_of(place), who(engine, budi), "yes")
        assert engine.refunds(customer) == []
        found = approvals.decline(context, id_of(place), who(engine, budi), "no")
        assert found.status is ApprovalStatus.DECLINED

    def test_a_cancellation_with_a_refund_needs_both_rights(self, engine: Engine, web: Web) -> None:
        """Finance may refund and not cancel; an operator may do both, and it is done as shown."""
        customer, subscription = engine.begun(amount=280_000)
        engine.run()
        names = [person(engine, role) for role in (Role.ADMIN, Role.FINANCE, Role.OPERATOR)]
        path = f"/subscriptions/{subscription}/cancel"
        with browsing(web, *names) as [one, finance, operator]:
            form = {"at": "now", "refund": "full", "unlink": "yes", "reason": "moved"}
            answer = one.send(path, form)
            assert "another person must approve this" in text_of(answer.text)
            place = within(one.send(path, form | hidden(answer.text)).headers["Location"])
            place = place.partition("?")[0]
            assert engine.status(subscription) == "active"
            answer = finance.send(f"{place}/approve", WHO_DECIDES)
            assert answer.status_code == 409
            assert "does not allow the action itself" in text_of(answer.text)
            said = text_of(operator.page(place))
            assert "Goes back to the wallet Rp 280,000" in said
            assert "The wallet is unlinked" in said
            assert operator.send(f"{place}/approve", WHO_DECIDES).status_code == 303
        assert engine.status(subscription) == "canceled"
        assert [each["amount"] for each in engine.refunds(customer)] == [280_000]
        assert engine.told("subscription.canceled")[0]["data"]["approved_by"] == names[2]
        engine.run()

    def test_a_cancellation_without_a_refund_needs_one_person(
        self, engine: Engine, web: Web
    ) -> None:
        """The limit is about money that goes back."""
        _customer, subscription = engine.begun(amount=280_000)
        engine.run()
        path = f"/subscriptions/{subscription}/cancel"
        with browsing(web, person(engine, Role.SUPPORT)) as [browser]:
            form = {"at": "now", "reason": "moved"}
            answer = browser.send(path, form)
            done = browser.send(path, form | hidden(answer.text))
        assert done.headers["Location"].endswith("?done=cancel")

    def test_every_kind_has_its_rights_and_every_end_is_one(self) -> None:
        """Nothing leads out of a request that has ended."""
        assert NEEDS.keys() == set(Approvable)
        assert all(Action.REFUND in NEEDS[kind] for kind in Approvable if kind != Approvable.BULK)
        assert all(not TRANSITIONS[each] for each in ApprovalStatus if each != ApprovalStatus.OPEN)


class TestBulk:
    """An action on more rows than the limit."""

    def test_rows_are_released_when_another_person_approves(self, engine: Engine, web: Web) -> None:
        """Exactly the rows of the page; a second approval does nothing more; both names."""
        engine.plan()
        made = [engine.subscribe(engine.customer(linked=False)) for _ in range(2)]
        for each in made:
            held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, each, ValueError("bad"))
        ani, budi = person(engine, Role.OPERATOR, "Ani"), person(engine, Role.ADMIN, "Budi")
        finance = person(engine, Role.FINANCE)
        with browsing(web, ani, budi, finance) as [one, other, third]:
            page = one.page("/attention/bulk?kind=subscription&cause=held")
            assert "More than 1 row: another person must approve this" in text_of(page)
            answers = [one.send("/attention/bulk", form_of(page)) for _ in range(2)]
            [place] = {within(each.headers["Location"]).partition("?")[0] for each in answers}
            assert engine.one("SELECT count(*) FROM subscriptions WHERE held_at IS NULL") == 0
            assert third.send(f"{place}/approve", WHO_DECIDES).status_code == 409
            said = text_of(other.page(place))
            assert "Release 2 rows" in said
            assert said.count(" released ") == 2
            for _ in range(2):
                report = within(other.send(f"{place}/approve", WHO_DECIDES).headers["Location"])
                said = text_of(other.page(report))
                assert "2 of 2 rows were released" in said
                assert "By Ani. Reason: wallets were topped up. Approved by Budi." in said
            assert report in other.page(place)
        told = engine.told("subscription.released")
        assert {(each["actor"], each["data"]["approved_by"]) for each in told} == {("Ani", "Budi")}
        assert len(told) == 2

    def test_a_single_row_needs_one_person(self, engine: Engine, web: Web) -> None:
        """Up to the limit it is done at once."""
        _customer, _subscription = given_up(engine)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page("/attention/bulk?kind=invoice&cause=uncollectible")
            place = browser.send("/attention/bulk", form_of(page)).headers["Location"]
            assert place.startswith("/console/attention/done/")
        engine.run()

    def test_a_retry_says_what_it_charges_and_what_is_refused_now(
        self, engine: Engine, web: Web
    ) -> None:
        """The second person sees each row as it is now; a row that is refused stops no other."""
        customer, subscription = given_up(engine, periods=2)
        engine.put_cash(customer, 1_000_000)
        [older, newer] = engine.invoices(subscription)
        with browsing(web, person(engine, Role.OPERATOR), person(engine)) as [one, other]:
            page = one.page("/attention/bulk?kind=invoice&cause=uncollectible")
            place = within(one.send("/attention/bulk", form_of(page)).headers["Location"])
            place = place.partition("?")[0]
            said = text_of(other.page(place))
            assert f"Is charged now Rp {older['amount']:,}" in said
            assert "an older invoice has to be paid first" in said
            report = within(other.send(f"{place}/approve", WHO_DECIDES).headers["Location"])
            assert "1 of 2 invoices are due now" in text_of(other.page(report))
        engine.run()
        assert newer["id"] != older["id"]


def test_an_api_key_is_not_under_the_limit(engine: Engine, web: Web) -> None:
    """A program has no second person; its scopes say what it may do."""
    customer, invoice = paid(engine)
    body = {"amount": 30_000, "reason": "parcel lost"}
    web.client("admin").ok("POST", f"/v1/invoices/{invoice['id']}/refunds", body)
    assert [each["amount"] for each in engine.refunds(customer)] == [30_000]
    assert engine.one("SELECT count(*) FROM approvals") == 0


def test_names_and_reasons_are_shown_as_texts(engine: Engine, web: Web) -> None:
    """A name of 50 emoji, a reason with marks: nothing is run, and nothing turns around."""
    _customer, invoice = paid(engine)
    names = [person(engine, Role.FINANCE, "\U0001f600" * 50), person(engine)]
    with browsing(web, *names) as [one, other]:
        place = asked(one, invoice, reason="<script>alert(1)</script>")
        for path in ("/approvals", place, "/attention", "/now"):
            page = other.page(path)
            assert "<script>alert" not in page
        assert "alert(1)" in text_of(other.page(place))
        assert other.open("/approvals/x").status_code == 404
        assert other.send(f"/approvals/{'0' * 32}/approve", WHO_DECIDES).status_code == 404


def test_an_erasure_empties_the_reasons_of_a_request(engine: Engine, web: Web) -> None:
    """People write names into reasons; ids, rupiah and who decided stay."""
    customer, invoice = paid(engine)
    with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
        place = asked(one, invoice, reason="Siti Rahma called")
        other.send(f"{place}/decline", {"reason": "Siti did not"})
    canceling.cancel(engine.context, invoice["subscription_id"], OPERATOR)
    erase(engine, customer)
    engine.run()
    [row] = engine.rows("SELECT reason, decision_reason, amount, status FROM approvals")
    assert tuple(row.values()) == ("erased", "erased", 30_000, "declined")
    assert {each["data"]["action"] for each in engine.told("approval.requested")} == {"refund"}


def test_few_statements_read_the_page(engine: Engine, web: Web) -> None:
    """Two for the list, however long it is."""
    _customer, invoice = paid(engine)
    with browsing(web, person(engine, Role.FINANCE)) as [browser]:
        asked(browser, invoice)
    statements: list[str] = []
    with engine.context.database.transaction() as connection:
        event.listen(connection, "before_cursor_execute", lambda *a: statements.append(a[2]))
        board = reading.read(engine.context.joined(connection))
    assert len(board.waiting) == 1
    assert len(statements) == 2
