"""Every state machine, compared with a table in this file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from billing.domain import charge, invoice, refund, subscription, wallet
from billing.domain.charge import ChargeMove, ChargeStatus
from billing.domain.errors import BillingError, IllegalMove
from billing.domain.invoice import InvoiceMove, InvoiceStatus
from billing.domain.refund import RefundMove, RefundStatus
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from billing.domain.wallet import WalletMove, WalletStatus


@dataclass(frozen=True)
class Machine:
    """One machine: the code's part, and what the design says of it."""

    what: str
    states: type[StrEnum]
    moves: type[StrEnum]
    advance: Callable[[Any, Any], StrEnum]
    start: str
    final: frozenset[str]
    listed: Mapping[tuple[str, str], str]


CHARGE = Machine(
    "the charge",
    ChargeStatus,
    ChargeMove,
    charge.advance,
    "in_flight",
    frozenset({"succeeded"}),
    {
        ("in_flight", "succeed"): "succeeded",
        ("in_flight", "decline"): "declined",
        ("in_flight", "mark_unsent"): "unsent",
        ("in_flight", "wait"): "pending",
        ("in_flight", "lose_sight"): "unknown",
        ("pending", "succeed"): "succeeded",
        ("pending", "decline"): "declined",
        ("unknown", "succeed"): "succeeded",
        ("unknown", "decline"): "declined",
        ("unknown", "wait"): "pending",
        ("unknown", "resend"): "in_flight",
        # Late news: neither a FAILED nor our own belief that nothing was sent is final.
        ("declined", "succeed"): "succeeded",
        ("unsent", "succeed"): "succeeded",
        # What the gateway never had is sent again under its own number, never under another.
        ("declined", "resend"): "in_flight",
        ("unsent", "resend"): "in_flight",
        # Only an answer said so, and nothing is sent any more by which it could show.
        ("unsent", "doubt"): "unknown",
    },
)
INVOICE = Machine(
    "the invoice",
    InvoiceStatus,
    InvoiceMove,
    invoice.advance,
    "open",
    frozenset({"paid", "void"}),
    {
        ("open", "pay"): "paid",
        ("open", "give_up"): "uncollectible",
        ("open", "void"): "void",
        ("uncollectible", "pay"): "paid",
        ("uncollectible", "void"): "void",
        # An uncollectible invoice may be charged again when an operator requests it.
        ("uncollectible", "reopen"): "open",
    },
)
REFUND = Machine(
    "the refund",
    RefundStatus,
    RefundMove,
    refund.advance,
    "requested",
    frozenset({"succeeded", "returned_elsewhere"}),
    {
        ("requested", "send"): "in_flight",
        # By a person's word, of one that was never received.
        ("requested", "decline"): "declined",
        ("requested", "leave_unreturned"): "unreturned",
        # A live decline is no end: Check Status has to agree.
        ("in_flight", "succeed"): "succeeded",
        ("in_flight", "mark_unsent"): "requested",
        ("in_flight", "lose_sight"): "unknown",
        ("unknown", "succeed"): "succeeded",
        ("unknown", "decline"): "declined",
        ("unknown", "leave_unreturned"): "unreturned",
        ("unknown", "send"): "in_flight",
        ("unreturned", "decline"): "declined",
        ("unreturned", "return_elsewhere"): "returned_elsewhere",
        ("unreturned", "waive"): "waived",
        # Late news: the gateway paid it after all.
        ("unreturned", "succeed"): "succeeded",
        ("declined", "succeed"): "succeeded",
        ("waived", "succeed"): "succeeded",
    },
)
WALLET = Machine(
    "the wallet",
    WalletStatus,
    WalletMove,
    wallet.advance,
    "pending",
    frozenset({"unlinked", "failed"}),
    {
        ("pending", "link"): "active",
        ("pending", "fail"): "failed",
        ("pending", "unlink"): "unlinked",
        ("active", "expire"): "expired",
        ("active", "unlink"): "unlinking",
        ("expired", "unlink"): "unlinking",
        ("unlinking", "confirm_unlinked"): "unlinked",
    },
)
SUBSCRIPTION = Machine(
    "the subscription",
    SubscriptionStatus,
    SubscriptionMove,
    subscription.advance,
    "pending",
    frozenset({"canceled", "completed"}),
    {
        ("pending", "activate"): "active",
        ("pending", "start_trial"): "trialing",
        ("pending", "cancel"): "canceled",
        ("trialing", "activate"): "active",
        ("trialing", "pause"): "paused",
        ("trialing", "cancel"): "canceled",
        ("active", "fall_behind"): "past_due",
        ("active", "pause"): "paused",
        ("active", "mark_unpaid"): "unpaid",
        ("active", "cancel"): "canceled",
        ("active", "complete"): "completed",
        ("past_due", "recover"): "active",
        ("past_due", "pause"): "paused",
        ("past_due", "mark_unpaid"): "unpaid",
        ("past_due", "cancel"): "canceled",
        ("past_due", "complete"): "completed",
        ("paused", "resume"): "active",
        ("paused", "resume_trial"): "trialing",
        ("paused", "cancel"): "canceled",
        ("unpaid", "recover"): "active",
        ("unpaid", "resume"): "active",
        ("unpaid", "cancel"): "canceled",
    },
)
MACHINES = [CHARGE, INVOICE, REFUND, WALLET, SUBSCRIPTION]

each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.what)
each_pair = pytest.mark.parametrize(
    ("machine", "state", "move"),
    [
        pytest.param(machine, state, move, id=f"{machine.what}: {state} {move}")
        for machine in MACHINES
        for state, move in product(machine.states, machine.moves)
    ],
)


@each_pair
def test_every_pair_of_state_and_move_is_listed_or_refused(
    machine: Machine, state: StrEnum, move: StrEnum
) -> None:
    """A move leads where the design says, or is refused."""
    expected = machine.listed.get((state.value, move.value))
    if expected is None:
        with pytest.raises(IllegalMove):
            machine.advance(state, move)
    else:
        assert machine.advance(state, move) is machine.states(expected)


@each_machine
def test_table_names_only_states_and_moves_that_exist(machine: Machine) -> None:
    """A misspelt row here would promise a move that does not exist."""
    for (before, move), after in machine.listed.items():
        assert machine.states(before)
        assert machine.states(after)
        assert machine.moves(move)


@each_machine
def test_every_state_has_a_way_in(machine: Machine) -> None:
    """A state that no move leads to is a mistake."""
    reached = {machine.start}
    for _ in machine.states:
        reached |= {after for (before, _), after in machine.listed.items() if before in reached}

    assert reached == {state.value for state in machine.states}


@each_machine
def test_every_state_but_the_final_ones_has_a_way_to_an_end(machine: Machine) -> None:
    """Nothing is stuck by design: from every state there is a path to a final one."""
    ending = set(machine.final)
    for _ in machine.states:
        ending |= {before for (before, _), after in machine.listed.items() if after in ending}

    assert ending == {state.value for state in machine.states}


@each_machine
def test_final_states_have_no_way_out(machine: Machine) -> None:
    """What has ended stays ended."""
    left = {before for before, _ in machine.listed}

    assert left == {state.value for state in machine.states} - machine.final


@each_machine
def test_every_move_is_used_somewhere(machine: Machine) -> None:
    """A move that no state allows is dead."""
    assert {move for _, move in machine.listed} == {move.value for move in machine.moves}


def test_a_refused_move_says_where_it_stands_and_what_would_be_possible() -> None:
    """One line for a person: the thing, its state, the move, and the moves there are."""
    with pytest.raises(IllegalMove) as refused:
        subscription.advance(SubscriptionStatus.PAUSED, SubscriptionMove.RECOVER)

    assert str(refused.value) == (
        "the subscription is paused: recover is not possible (possible: billing subscription"
        " resume SUBSCRIPTION, billing subscription cancel SUBSCRIPTION)"
    )


def test_a_refused_move_names_the_commands_of_its_own_machine() -> None:
    """A state of the same name in another machine, as "unknown" is, brings no commands of that."""
    with pytest.raises(IllegalMove) as refused:
        refund.advance(RefundStatus.UNKNOWN, RefundMove.WAIVE)

    assert "billing refunds retry REFUND" in str(refused.value)
    assert "CHARGE" not in str(refused.value)


@each_machine
def test_a_refused_move_names_commands_and_no_moves_of_ours(machine: Machine) -> None:
    """A move of the scheduler alone is not offered to a person."""
    for state in machine.states:
        for move in machine.moves:
            if (state.value, move.value) in machine.listed:
                continue
            with pytest.raises(IllegalMove) as refused:
                machine.advance(state, move)
            possible = str(refused.value).partition("(possible: ")[2].removesuffix(")")
            assert all(
                each == "none" or each.startswith("billing ") for each in possible.split(", ")
            )


def test_a_refused_move_from_a_final_state_says_none_is_possible() -> None:
    """The list of possible moves is never an empty text."""
    with pytest.raises(IllegalMove, match=r"the invoice is void: pay is not possible .*none\)"):
        invoice.advance(InvoiceStatus.VOID, InvoiceMove.PAY)


def test_illegal_moves_are_among_the_expected_refusals() -> None:
    """Commands and tasks catch one tree of errors; a traceback must not reach a user."""
    assert issubclass(IllegalMove, BillingError)


def test_unresolved_charges_are_those_whose_money_nobody_knows_about() -> None:
    """These three block every other charge of the invoice, in code and in the index."""
    assert set(charge.UNRESOLVED) == {"in_flight", "pending", "unknown"}


def test_groups_of_subscription_states_follow_the_design() -> None:
    """Ended ones end; later periods still open while an invoice is unpaid."""
    assert set(subscription.ENDED) == {"canceled", "completed"}
    assert set(subscription.LIVE) == {
        "pending", "trialing", "active", "past_due", "paused", "unpaid",
    }  # fmt: skip
    assert set(subscription.OPENING) == {"trialing", "active", "past_due"}


def test_groups_of_wallets_and_refunds_follow_the_design() -> None:
    """One live binding a customer; a refund without an answer is not settled."""
    assert set(wallet.LIVE) == {"pending", "active", "unlinking"}
    assert set(refund.UNSETTLED) == {"requested", "in_flight", "unknown"}
