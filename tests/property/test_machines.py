"""Random walks through the state machines: ends are ends, and money that moved stays moved."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.charge import ChargeMove, ChargeStatus
from billing.domain.errors import IllegalMove
from billing.domain.invoice import InvoiceMove, InvoiceStatus
from tests.unit.test_machines import CHARGE, INVOICE, MACHINES, Machine


def _walk(machine: Machine, moves: Sequence[Any]) -> list[StrEnum]:
    """The states on the way, the first included; a refused move stays where it was."""
    states: list[StrEnum] = [machine.states(machine.start)]
    for move in moves:
        try:
            states.append(machine.advance(states[-1], move))
        except IllegalMove:
            states.append(states[-1])
    return states


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.what)
@given(data=st.data())
def test_a_walk_that_ended_never_goes_on(machine: Machine, data: st.DataObject) -> None:
    """However moves come, after a final state there is no other state."""
    moves = data.draw(st.lists(st.sampled_from(list(machine.moves)), max_size=30))

    states = [state.value for state in _walk(machine, moves)]

    first_end = next((i for i, state in enumerate(states) if state in machine.final), None)
    if first_end is not None:
        assert set(states[first_end:]) == {states[first_end]}


@given(st.lists(st.sampled_from(ChargeMove), max_size=30))
def test_news_turns_a_settled_charge_into_a_success_only(moves: list[ChargeMove]) -> None:
    """No news makes a declined or unsent charge unresolved again; our own acts do."""
    moves = [move for move in moves if move not in {ChargeMove.RESEND, ChargeMove.DOUBT}]
    settled = {ChargeStatus.DECLINED, ChargeStatus.UNSENT, ChargeStatus.SUCCEEDED}
    states = _walk(CHARGE, moves)

    for before, after in pairwise(states):
        if before in settled and after is not before:
            assert after is ChargeStatus.SUCCEEDED


@given(st.lists(st.sampled_from(InvoiceMove), max_size=10))
def test_a_paid_invoice_stays_paid(moves: list[InvoiceMove]) -> None:
    """Neither dunning nor an operator takes a payment away again."""
    states = _walk(INVOICE, moves)

    if InvoiceStatus.PAID in states:
        assert states[-1] is InvoiceStatus.PAID
