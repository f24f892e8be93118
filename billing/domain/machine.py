"""The one shape of every state machine: a table of moves, and a function that looks a move up."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from billing.domain.errors import IllegalMove

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)


def check(table: Mapping[State, Mapping[Move, State]], what: str, state: State, move: Move) -> None:
    """Raise IllegalMove unless `move` is possible, with a message for the operator."""
    if move not in table[state]:
        raise IllegalMove(f"{what} is {state}; nothing to {move}")


def advance(
    table: Mapping[State, Mapping[Move, State]], what: str, state: State, move: Move
) -> State:
    """Return the state after `move`, or raise IllegalMove; a move that is not listed is refused."""
    try:
        return table[state][move]
    except KeyError:
        raise IllegalMove(
            f"{what} is {state}: {move.replace('_', ' ')} is not possible"
            f" (possible: {_commands(state)})"
        ) from None


def stands(status: StrEnum) -> str:
    """Say where something stands, after its name: `has already succeeded`, `is open`."""
    ended = {"succeeded": "has already succeeded", "declined": "was declined"}
    return ended.get(status.value, f"is {status.value.replace('_', ' ')}")


def _commands(state: StrEnum) -> str:
    """What a person can do in a state, as commands; moves that nobody can ask for are left out."""
    from billing.domain import ways_out  # it knows the machines, which are built on this

    tables: Iterable[Mapping[Any, ways_out.Ways]] = (
        ways_out.SUBSCRIPTION, ways_out.INVOICE, ways_out.CHARGE, ways_out.REFUND, ways_out.WALLET
    )  # fmt: skip
    ways = next((table[state] for table in tables if state in table), ())
    return ", ".join(dict.fromkeys(way.command for way in ways)) or "none"
