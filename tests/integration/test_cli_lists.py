"""Lists on the command line: filters, dates at home, and the cursor of the next page."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing import cli
from billing.domain.events import Actor
from billing.services.money import crediting
from tests.integration.command import MORE, Billing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
Pages = Callable[..., list[list[str]]]


@pytest.fixture
def pages(billing: Billing, capsys: pytest.CaptureFixture[str]) -> Pages:
    """Give the ids of every page of a list, following what people are told."""

    def follow(*words: object) -> list[list[str]]:
        found, after = [], list[str]()
        while True:
            found.append([row.get("id", row.get("code")) for row in billing(*words, *after)])
            assert cli.run([str(word) for word in (*words, *after)]) == 0
            printed = capsys.readouterr()
            if not printed.err:
                return found
            told = MORE.fullmatch(printed.err)
            assert told is not None, printed.err
            after = ["--after", told[1]]

    return follow


@pytest.mark.parametrize(
    "noun", ["plan", "coupon", "customer", "wallet", "subscription", "invoice", "charge",
             "refunds", "event"],
)  # fmt: skip
def test_pages_of_a_list_follow_each_other(
    noun: str, pages: Pages, billing: Billing, engine: Engine
) -> None:
    """One line on stderr says how to see more; the pages together are the list, once."""
    make(billing, engine)
    everything = [row.get("id", row.get("code")) for row in billing(noun, "list")]

    found = pages(noun, "list", "--limit", 2)

    if noun == "event":  # each page is in chronological order, the newest page comes first
        found = found[::-1]
    assert [each for page in found for each in page] == everything
    assert all(len(page) == 2 for page in found[1 if noun == "event" else 0 : -1])


def make(billing: Billing, engine: Engine) -> tuple[str, str]:
    """Make three rows of every list, for two customers on two plans."""
    for code in ("P", "Q", "R"):
        engine.plan(code)
        billing("coupon", "create", f"C-{code}", "--percent", "10")
    one, two, third = (engine.customer() for _ in range(3))
    for who, plan in ((one, "P"), (two, "Q"), (third, "P")):
        engine.subscribe(who, plan)
        engine.run()
        engine.set_clock(engine.now + DAY)
        [invoice] = billing("invoice", "list", "--customer", who)
        billing("refund", invoice["id"], "--amount", 100, "--reason", "x")
    engine.run()
    return one, two


def test_filters_of_a_list_can_be_combined(billing: Billing, engine: Engine) -> None:
    """By customer, plan, status and dates; other customers' rows are never among them."""
    one, two = make(billing, engine)

    for noun in ("subscription", "invoice", "charge", "refunds"):
        for customer in (one, two):
            rows = billing(noun, "list", "--customer", customer)
            assert [row["customer"] for row in rows] == [customer], noun
        assert len(billing(noun, "list", "--plan", "P")) == 2
        assert billing(noun, "list", "--plan", "P", "--customer", two) == []
        assert billing(noun, "list", "--plan", "R") == []
    assert [row["customer"] for row in billing("wallet", "list", "--customer", two)] == [two]
    assert {row["customer"] for row in billing("event", "list", "--customer", two)} == {two}
    assert len(billing("invoice", "list", "--status", "paid", "--plan", "P", "--limit", 1)) == 1


def test_a_plain_date_is_midnight_at_home(billing: Billing, engine: Engine) -> None:
    """The first of February begins in Jakarta, seven hours before it does in Greenwich."""
    make(billing, engine)

    def listed(*words: str) -> Any:
        return [row["created_at"][:10] for row in billing("charge", "list", *words)]

    assert START.isoformat() == "2026-01-31T02:00:00+00:00"
    assert listed() == ["2026-02-02", "2026-02-01", "2026-01-31"]
    assert listed("--from", "2026-02-01") == ["2026-02-02", "2026-02-01"]
    assert listed("--from", "2026-02-01", "--to", "2026-02-02") == ["2026-02-01"]
    assert listed("--to", "2026-02-01T09:00") == ["2026-01-31"]
    assert listed("--from", "2026-02-01T09:00", "--to", "2026-02-01T02:01Z") == ["2026-02-01"]


def test_archived_plans_and_coupons_are_listed_apart(billing: Billing, engine: Engine) -> None:
    """Both lists are in the order of codes, also when some are archived."""
    make(billing, engine)
    billing("plan", "archive", "Q")
    billing("coupon", "archive", "C-P")

    assert [row["code"] for row in billing("plan", "list")] == ["P", "Q", "R"]
    assert [row["code"] for row in billing("plan", "list", "--status", "active")] == ["P", "R"]
    assert [row["code"] for row in billing("plan", "list", "--status", "archived")] == ["Q"]
    assert [row["code"] for row in billing("coupon", "list", "--status", "archived")] == ["C-P"]


def test_a_part_of_the_credits_is_not_called_the_balance(
    billing: Billing, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The credit balance is told below all credits, and not below a page of them."""
    customer = engine.customer()
    for _ in range(3):
        crediting.grant(engine.context, customer, 500, Actor("operator", "x"))

    assert "balance Rp 1,500" in billing("credit", "list", customer, people=True)
    assert cli.run(["credit", "list", customer, "--limit", "2"]) == 0
    printed = capsys.readouterr()
    assert "balance" not in printed.out
    told = MORE.fullmatch(printed.err)
    assert told is not None
    rest = billing("credit", "list", customer, "--after", told[1], people=True)
    assert "balance" not in rest


def test_a_list_in_json_stays_a_list(
    billing: Billing, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stdout has the rows and nothing else; stderr has the cursor of the next page, if any."""
    make(billing, engine)
    everything = [row["id"] for row in billing("charge", "list")]
    found, after, printed = [], list[str](), None
    while printed is None or printed.err:
        assert cli.run(["charge", "list", "--limit", "1", "--json", *after]) == 0
        printed = capsys.readouterr()
        [row] = json.loads(printed.out)
        found.append(row["id"])
        told = MORE.fullmatch(printed.err)
        after = ["--after", told[1]] if told else []

    assert found == everything
    assert len(found) > 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("charge", "list", "--after", "nonsense"), "cursor is damaged"),
        (("charge", "list", "--after", ""), "cursor is damaged"),
        (("charge", "list", "--from", "2026-02-02", "--to", "2026-02-02"), "before --to"),
        (("charge", "list", "--from", "yesterday"), "not an ISO 8601 date or instant"),
        (("charge", "list", "--customer", "nope"), "no customer has the id"),
        (("invoice", "list", "--plan", "nope"), "no plan has the code"),
        (("wallet", "list", "--expiring", "1d", "--after", "x"), "--expiring or --after"),
        (("wallet", "list", "--expiring", "1d", "--customer", "x"), "--expiring or --customer"),
        (("refunds", "list", "--waiting", "--from", "2026-02-02"), "--waiting or --from"),
        (("refunds", "list", "--waiting", "--plan", "P"), "--waiting or --plan"),
    ],
)
def test_a_wrong_filter_is_refused(
    words: tuple[str, ...], told: str, billing: Billing, engine: Engine
) -> None:
    """One line says what is wrong."""
    assert told in billing(*words, code=1)


def test_a_cursor_belongs_to_its_filters(
    billing: Billing, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other filters, or in another list, it is refused."""
    make(billing, engine)
    assert cli.run(["charge", "list", "--limit", "1", "--plan", "P"]) == 0
    told = MORE.fullmatch(capsys.readouterr().err)
    assert told is not None

    assert "other filters" in billing("charge", "list", "--after", told[1], code=1)
    assert "another list" in billing("invoice", "list", "--plan", "P", "--after", told[1], code=1)
    assert len(billing("charge", "list", "--plan", "P", "--after", told[1])) == 1
