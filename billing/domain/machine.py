"""State machines: one form for all of them, a table of moves and a function that looks one up."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

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
    """Return the state after `move`, or raise IllegalMove if the table does not list the move."""
    try:
        return table[state][move]
    except KeyError:
        raise IllegalMove(
            f"{what} is {state}: {move.replace('_', ' ')} is not possible"
            f" (possible: {_commands(state)})"
        ) from None


def stands(status: StrEnum) -> str:
    """Describe a state as the end of a sentence: `has already succeeded`, `is open`."""
    ended = {"succeeded": "has already succeeded", "declined": "was declined"}
    return ended.get(status.value, f"is {status.value.replace('_', ' ')}")


def _commands(state: StrEnum) -> str:
    """List the commands for a state; moves that no command can request are left out."""
    from billing.domain import ways_out  # it imports the machines, which import this module

    return ", ".join(dict.fromkeys(way.command for way in ways_out.every(state))) or "none"
