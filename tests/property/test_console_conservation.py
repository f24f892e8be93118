"""Conservation of money with a console: requests, second persons, many rows at once, an erasure.

The lives are those of `test_conservation`, in which people of the console act, too.
"""

import os
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from billing.domain import approvals as rules
from billing.domain.approvals import ApprovalStatus
from billing.domain.payloads import Json
from billing.services.operating import approval_terms, approvals
from billing.store.queries.approvals import Approval
from tests.integration.engine import Engine
from tests.integration.kept import Kept
from tests.property.money_console import ConsoleLife
from tests.property.money_life import Deed
from tests.property.test_conservation import QUICKLY, amounts, deeds, fates, which

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "15"))
WITHOUT_A_RULE = 30

ask = st.tuples(st.just("ask"), which, st.none() | amounts)
ask_to_cancel = st.tuples(st.just("ask_to_cancel"), st.sampled_from(["full", "prorated"]))
many = st.sampled_from(
    [("ask_about_many", "subscription", "held"), ("ask_about_many", "invoice", "uncollectible")]
)
approve = st.tuples(st.just("approve"), which, fates)
end = st.tuples(st.just("end"), which, st.sampled_from(["declined", "withdrawn"]))
unpaid: st.SearchStrategy[Deed] = st.tuples(
    st.just("renew"), st.just(["late"]), st.sampled_from([33, 9])
)
console: st.SearchStrategy[Deed] = st.one_of(
    ask, ask, ask_to_cancel, many, approve, approve, end, st.just(("expire",)),
)  # fmt: skip
scenes: st.SearchStrategy[tuple[Deed, ...]] = st.one_of(
    st.tuples(deeds),
    st.tuples(console),
    st.tuples(ask, approve),
    st.tuples(ask, deeds, approve, approve),
    st.tuples(
        st.just(("ask", 0, None)),
        st.just(("refund", 0, 1_000, ["plain"])),
        st.just(("approve", 0, [])),
    ),
    st.tuples(ask, approve, ask, end, approve),
    st.tuples(ask_to_cancel, approve, approve),
    st.tuples(ask_to_cancel, deeds, approve),
    st.tuples(unpaid, many, approve, st.just(("renew", [], 1)), approve),
    st.tuples(ask, st.just(("renew", [], 16)), st.just(("expire",)), approve),
)
last: st.SearchStrategy[tuple[Deed, ...]] = st.sampled_from(
    [(), (), (("cancel", "full", []), ("erase",), ("approve", 0, []), ("renew", [], 1))]
)
lives = st.tuples(st.lists(scenes, min_size=1, max_size=3), last).map(
    lambda found: [deed for scene in found[0] for deed in scene] + list(found[1])
)
often = settings(max_examples=EXAMPLES, phases=QUICKLY, suppress_health_check=list(HealthCheck))
thirty = settings(
    max_examples=WITHOUT_A_RULE, phases=QUICKLY, suppress_health_check=list(HealthCheck),
    derandomize=True, report_multiple_bugs=False,
)  # fmt: skip


def play(engine: Engine, emptied: Kept, story: list[Deed]) -> None:
    """Play one life in an empty database."""
    engine.audited = False  # refunds that wait for a person are findings, and part of the story
    ConsoleLife(engine, emptied).play(story)


@pytest.mark.timeout(120 + 8 * EXAMPLES)
@often
@given(story=lives)
def test_a_request_is_done_once_as_it_was_shown(
    engine: Engine, emptied: Kept, story: list[Deed]
) -> None:
    """After any acts between asking and approving: the terms that were shown, or nothing."""
    play(engine, emptied, story)


def approve_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has changed since it was shown is done all the same."""

    def same(_one: Json, _other: Json) -> bool:
        return True

    monkeypatch.setattr(approval_terms, "is_same", same)
    monkeypatch.setattr(approval_terms, "is_based_on", same)


def decide_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks may approve."""
    plain = rules.check_decision

    def check(request: Any, move: Any, asker: Any, person: Any, now: datetime) -> Any:
        other = person._replace(id=UUID(int=0)) if person.id == asker.id else person
        return plain(request, move, asker, other, now)

    monkeypatch.setattr(rules, "check_decision", check)


def new_key_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was decided is done again by the next approval."""
    plain = approvals._checked

    def checked(connection: Connection, approval_id: UUID, *rest: Any) -> Any:
        row, asker, status = plain(connection, approval_id, *rest)
        again: Approval = row._replace(
            key=f"{row.key}/{row.decided_at}", status=ApprovalStatus.OPEN
        )
        return again, asker, status

    monkeypatch.setattr(approvals, "_checked", checked)


@pytest.mark.timeout(120 + 8 * WITHOUT_A_RULE)
@pytest.mark.parametrize("disable", [approve_anything, decide_alone, new_key_each_time])
def test_without_the_rule_a_request_is_more_than_was_shown(
    engine: Engine, emptied: Kept, monkeypatch: pytest.MonkeyPatch, disable: Any
) -> None:
    """Each part of the rule that is taken away is missed within thirty lives."""
    disable(monkeypatch)

    @thirty
    @given(story=lives)
    def played(story: list[Deed]) -> None:
        play(engine, emptied, story)

    with pytest.raises((AssertionError, IntegrityError, pytest.fail.Exception)):
        played()


STORIES: dict[str, list[Deed]] = {
    "a part, and the rest while it waits": [
        ("ask", 0, 15_000), ("refund", 0, 30_000), ("approve", 0), ("ask", 0, None), ("approve", 1),
    ],
    "a renewal changes nothing for an older invoice": [
        ("ask", 0, 30_000), ("renew", [], 9), ("renew", [], 1), ("approve", 0), ("approve", 0),
    ],
    "a cancellation of yesterday": [
        ("ask_to_cancel", "prorated"), ("renew", [], 1), ("approve", 0),
        ("ask_to_cancel", "prorated"), ("approve", 1), ("approve", 1),
    ],
    "many rows, twice": [
        ("ask_about_many", "subscription", "held"), ("approve", 0), ("renew", [], 1),
        ("approve", 0), ("ask_about_many", "subscription", "held"), ("end", 1, "declined"),
        ("approve", 1),
    ],
    "an invoice is tried again after the end": [
        ("renew", ["late"], 33), ("ask_about_many", "invoice", "uncollectible"),
        ("renew", [], 1), ("ask", 0, None), ("approve", 0, ["failed"]), ("go_on", 0),
    ],
    "goodbye": [
        ("ask", 0, 15_000), ("cancel", "full", []), ("erase",), ("approve", 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_stories_of_two_people(engine: Engine, emptied: Kept, name: str) -> None:
    """Combinations that a second person may meet."""
    play(engine, emptied, STORIES[name])
