"""What README and the guide tell a reader to type, typed in their order against a real engine."""

from pathlib import Path

import pytest

from tests.house.shown import EXAMPLES, lines
from tests.integration.command import Billing
from tests.integration.engine import Engine

FIRST = ("plan", "create")
LAST = {"README.md": ("customer", "show"), "docs/guide.md": ("credit", "give")}
"""With which command the walk through a page ends."""
NOT_NOW = {("schedule", "preview"), ("plan", "create", "payday")}
"""Asides, which belong to no walk."""


def walk(page: str) -> list[tuple[str, ...]]:
    """The commands of a page, from its first plan to the end of its walk."""
    typed = [line.billing for line in lines() if line.page == page and line.billing]
    begin = next(place for place, words in enumerate(typed) if words[:2] == FIRST)
    end = max(place for place, words in enumerate(typed) if words[:2] == LAST[page])
    return [
        words
        for words in typed[begin : end + 1]
        if not any(words[: len(aside)] == aside for aside in NOT_NOW)
    ]


@pytest.mark.parametrize("page", LAST)
def test_commands_of_a_page_work_in_their_order(
    page: str, billing: Billing, engine: Engine
) -> None:
    """A first subscription ends in a paid period; changes, coupons and credit follow."""
    # The gateway keeps customers and phones from test to test.
    customer, phone = f"of-{Path(page).stem}", f"628129990{list(LAST).index(page)}"
    own = {EXAMPLES["CUSTOMER"]: customer, EXAMPLES["PHONE"]: phone}
    for words in walk(page):
        said = billing(*(own.get(word, word) for word in words), people=True)
        if words[:2] == ("wallet", "link"):
            engine.gateway.control("POST", f"wallets/{customer}/confirm")
            billing("wallet", "refresh", customer)
        engine.run()
        if words[:2] == ("customer", "show"):
            assert "charged twice: no" in said
            found = billing("customer", "show", customer)
            own[EXAMPLES["ID"]] = found["subscriptions"][0]["id"]
            assert [invoice["status"] for invoice in found["invoices"]] == ["paid"]

    assert EXAMPLES["ID"] in own
    assert len(walk(page)) >= 5
