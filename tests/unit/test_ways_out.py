"""Every state that is not final has a way out for a person, and help names it."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from billing import cli
from billing.domain import charge, invoice, refund, subscription, wallet, ways_out
from billing.domain.ways_out import Ways
from tests.house.tree import commands

NOUNS: dict[str, tuple[Mapping[Any, Ways], Mapping[Any, Any], tuple[str, ...]]] = {
    "subscription": (ways_out.SUBSCRIPTION, subscription.TRANSITIONS, ("subscription",)),
    "invoice": (ways_out.INVOICE, invoice.TRANSITIONS, ("invoice",)),
    "charge": (ways_out.CHARGE, charge.TRANSITIONS, ("charge",)),
    "refund": (ways_out.REFUND, refund.TRANSITIONS, ("refund",)),
    "wallet": (ways_out.WALLET, wallet.TRANSITIONS, ("wallet",)),
}
each_noun = pytest.mark.parametrize("noun", NOUNS)
ALL = dict.fromkeys(
    way for table, _, _ in NOUNS.values() for ways in table.values() for way in ways
)


@each_noun
def test_every_state_but_the_ends_has_a_way_out(noun: str) -> None:
    """A state that is added without one fails here; an end has none to show."""
    table, transitions, _ = NOUNS[noun]

    assert {state for state, moves in transitions.items() if moves} == set(table)
    assert all(table.values())


@pytest.mark.parametrize("way", ALL, ids=lambda way: way.command)
def test_a_way_out_can_be_typed(way: ways_out.Way) -> None:
    """Its command exists, with these options, and what it does is said."""
    words = tuple(re.findall("[a-z-]+", re.sub(r"[A-Z]+|--\S+|62…|…", "", way.command)))[1:]
    known = commands()

    assert words in known, way.command
    assert set(re.findall(r"--[a-z-]+", way.command)) <= known[words]
    assert way.does


@each_noun
def test_help_of_the_noun_names_the_ways_out(
    noun: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help names the command for `unpaid`."""
    table, _, words = NOUNS[noun]

    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.run([*words, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())

    for state, ways in table.items():
        assert f"{state}:" in told
        assert all(way.command in told for way in ways), state


def test_names_are_put_in_and_a_way_without_its_name_is_left_out() -> None:
    """No line has a placeholder in it: what is not known leads nowhere."""
    one = UUID(int=7)

    told = ways_out.of(ways_out.SUBSCRIPTION, "unpaid", subscription="S", invoice=one)
    blind = ways_out.of(ways_out.SUBSCRIPTION, "unpaid", subscription="S", invoice=None)

    assert [way.command for way in told] == [
        f"billing invoice retry {one}",
        "billing subscription resume S",
        "billing subscription cancel S",
    ]
    assert [way.command for way in blind] == [way.command for way in told[1:]]
    assert ways_out.of(ways_out.SUBSCRIPTION, "canceled", subscription="S") == []
