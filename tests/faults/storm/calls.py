"""Calls of the HTTP interface in a storm, each with its key, and what was answered.

A client repeats a call, with the same key and body, until it is answered. The events tell how often
a deed was done: each carries the reason that its call gave. This module knows no chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.faults.storm.door import Answer
from tests.faults.storm.world import World

SHOP = "shop"
"""The name of the key: the actor of its events."""
REPEATED_FOR = timedelta(days=25)
"""Keys are kept for 30 days."""
TELLS: Mapping[str, frozenset[str]] = {
    # What was asked for, and the events of which exactly one tells that it was done.
    "subscribe": frozenset({"subscription.created"}),
    "cancel": frozenset({"subscription.canceled", "subscription.cancel_scheduled"}),
    "withdraw": frozenset({"subscription.cancel_withdrawn"}),
    "refund": frozenset({"refund.requested"}),
    "change": frozenset(
        {
            "subscription.changed",
            "subscription.change_planned",
            "subscription.change_withdrawn",
        }
    ),
    "pause": frozenset({"subscription.paused", "subscription.pause_scheduled"}),
    "resume": frozenset({"subscription.resumed", "subscription.pause_withdrawn"}),
    "link": frozenset({"wallet.link_requested"}),
    "coupon": frozenset({"coupon.redeemed"}),
    "credit": frozenset({"credit.given"}),
    "extra": frozenset({"subscription.extra_added"}),
    "retry": frozenset({"invoice.retry_requested", "invoice.reopened"}),
    "void": frozenset({"invoice.voided"}),
}
NAMED_BY_KEY = frozenset({"subscribe", "refund"})
"""Whose ids are derived from the key: a restored database that lost the key makes the same ones."""
OPEN = frozenset({"in_progress", "unavailable", "too_many_requests"})
COUNTED = """
    SELECT count(*) FROM events WHERE actor = %(actor)s AND reason = %(reason)s
    AND kind = ANY(%(kinds)s)"""

_DONE_BEFORE: Mapping[str, str] = {
    "coupon": """SELECT 1 FROM events WHERE kind = 'coupon.redeemed'
        AND CAST(subscription_id AS text) = %(id)s AND data->>'coupon' = %(code)s""",
    # A planned end that is overdue comes first: it is done by the plan, on its date.
    "cancel": """SELECT 1 FROM events WHERE kind = 'subscription.canceled'
        AND CAST(subscription_id AS text) = %(id)s AND actor = 'scheduler'""",
}


@dataclass
class Call:
    """One call with its key, and what the client knows of it."""

    key: str
    deed: str
    path: str
    body: Mapping[str, Any]
    reason: str
    customer: str
    since: datetime
    tries: int = 0
    done_seq: int = 0
    """When its success was answered last, in the ledger's count; 0 for never."""
    refused_seq: int = 0
    ids: set[str] = field(default_factory=set)
    was_so: bool = False
    """Nothing was to be done: the subscription had this coupon, or its planned end was overdue."""

    @property
    def is_open(self) -> bool:
        """Whether the client has no answer yet."""
        return not self.done_seq and not self.refused_seq


class Record:
    """Every call of a storm, and what was wrong with an answer."""

    def __init__(self, world: World) -> None:
        self.calls: list[Call] = []
        self.told: list[str] = []
        self._world = world

    def tell(self, finding: str) -> None:
        """Note something that is wrong."""
        self._world.note(f"! {finding}")
        self.told.append(finding)

    def may_repeat(self, call: Call) -> bool:
        """Whether its key is still kept."""
        return self._world.clock.now() - call.since < REPEATED_FOR

    def remembers(self, call: Call) -> bool:
        """Whether the database has the success that was answered: no restore came after it."""
        return call.done_seq > self._world.restored_seq

    def answered(self, call: Call, answer: Answer) -> None:
        """Take an answer, and compare it with the rows at once."""
        if answer.status == 500:
            self.tell(f"API: {call.deed} was answered with an internal error")
        if answer.succeeded:
            self._succeeded(call, answer)
        elif answer.kind not in OPEN and answer.status < 500:
            self._refused(call, answer)

    def _succeeded(self, call: Call, answer: Answer) -> None:
        call.done_seq = self._world.ledger.next()
        found = answer.document.get("id")
        if call.deed in NAMED_BY_KEY and isinstance(found, str):
            call.ids.add(found)
            if len(call.ids) > 1:
                self.tell(f"KEY: {call.key} made {len(call.ids)} things: {call.deed}")
        if not self.is_erased(call) and self.times(call) == 0:
            call.was_so = call.was_so or self._was_done(call)
            if call.was_so:
                return
            self.tell(f"KEY: {call.key} was answered with success, and {call.deed} is not done")

    def _refused(self, call: Call, answer: Answer) -> None:
        # With an erased customer the arguments were emptied: a repeat looks like another body.
        if call.done_seq and self.remembers(call) and not self.is_erased(call):
            self.tell(f"KEY: {call.key} was done, and its repeat is refused: {answer.document}")
        # A refusal wrote nothing, except of a link: the gateway refused what was recorded.
        if call.deed in TELLS.keys() - {"link"} and self.times(call):
            self.tell(f"KEY: {call.key} was refused with {answer.kind}, and {call.deed} is done")
        if not call.done_seq:
            call.refused_seq = self._world.ledger.next()

    def times(self, call: Call) -> int:
        """How often the deed was done, by the events."""
        if call.deed not in TELLS:
            return 1
        [row] = self._world.databases.rows(
            COUNTED, actor=SHOP, reason=call.reason, kinds=sorted(TELLS[call.deed])
        )
        return int(row["count"])

    def _was_done(self, call: Call) -> bool:
        """Whether a subscription has the coupon of an earlier call, or ended as it was planned."""
        told = _DONE_BEFORE.get(call.deed)
        if told is None:
            return False
        subscription, code = call.path.split("/")[3], call.body.get("code")
        return bool(self._world.databases.rows(told, id=subscription, code=code))

    def is_erased(self, call: Call) -> bool:
        """Whether the customer was erased, and with it the reasons of its events."""
        erased = "SELECT 1 FROM customers WHERE id = %(id)s AND erased_at IS NOT NULL"
        return bool(self._world.databases.rows(erased, id=call.customer))

    def findings(self) -> Iterator[str]:
        """Report deeds that were done twice, and answers of success without one."""
        yield from self.told
        for call in self.calls:
            times = self.times(call)
            if times > 1 and call.deed in TELLS:
                yield f"KEY: {call.key} did {call.deed} {times} times"
            if call.is_open and self.may_repeat(call):
                yield f"KEY: {call.key} was never answered after {call.tries} tries: {call.deed}"
            gone = times == 0 and not call.was_so
            if self.remembers(call) and gone and not self.is_erased(call):
                yield f"KEY: {call.key} was answered with success, and {call.deed} is gone"
