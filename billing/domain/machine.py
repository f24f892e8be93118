"""The one shape of every state machine: a table of moves, and a function that looks a move up."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from billing.domain.errors import IllegalMove

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)


def check(table: Mapping[State, Mapping[Move, State]], what: str, state: State, move: Move) -> None:
    """Raise IllegalMove unless `move` is possible, in words for whoever asked for it."""
    if move not in table[state]:
        raise IllegalMove(f"{what} is {state}; nothing to {move}")


def advance(
    table: Mapping[State, Mapping[Move, State]], what: str, state: State, move: Move
) -> State:
    """Return the state after `move`, or raise IllegalMove; a move that is not listed is refused."""
    try:
        return table[state][move]
    except KeyError:
        possible = ", ".join(sorted(table.get(state, {}))) or "none"
        raise IllegalMove(
            f"{what} is {state}: {move} is not possible (possible: {possible})"
        ) from None


def stands(status: StrEnum) -> str:
    """Say where something stands, after its name: `has already succeeded`, `is open`."""
    ended = {"succeeded": "has already succeeded", "declined": "was declined"}
    return ended.get(status.value, f"is {status.value.replace('_', ' ')}")
