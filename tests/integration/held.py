"""What tests of held rows share: two customers, and a row that is held and released."""

from typing import Any
from uuid import UUID

from billing.domain.events import Actor
from billing.services.operating import held_rows
from billing.services.operating.held_rows import Kind
from tests.integration.engine import Engine

SHUT = r"\x0100"
"""Bytes that no key opens."""


def is_held(engine: Engine, kind: Kind, row: UUID) -> str:
    """Why a row is held: it has one event that says so, and the audit, of a dead end, too."""
    [found] = engine.rows(f"SELECT held_at, held_why FROM {kind.value}s WHERE id = :id", id=row)
    [told] = [e for e in engine.told(f"{kind.value}.held") if e["data"][kind.value] == str(row)]
    assert (told["at"], told["data"]["why"]) == (found["held_at"], found["held_why"])
    engine.dead_ends = {"held"}
    return str(found["held_why"])


def release(engine: Engine, kind: Kind, row: UUID) -> None:
    """Release it as an operator; the event has the actor and the reason."""
    assert held_rows.release(engine.context, kind, row, Actor("operator", "mended")) == [row]
    [told] = engine.told(f"{kind.value}.released")
    assert (told["actor"], told["reason"]) == ("operator", "mended")
    engine.dead_ends = set()


def two(engine: Engine, **plan: Any) -> tuple[tuple[str, UUID], tuple[str, UUID]]:
    """Two customers with a subscription each; the first is going to have the bad row."""
    first = engine.begun(**plan)
    other = engine.customer()
    return first, (other, engine.subscribe(other))
