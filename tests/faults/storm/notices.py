"""Notifications of the gateway in a wide storm: true, repeated, late, about nothing, and forged.

A notification only makes a status query due, so that whatever it says settles nothing. The verdict
reads the gateway's ledger; this module only says whether a notification was taken or refused.
"""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from billing.domain.settlement import Source
from tests.faults.storm.door import SETTINGS, notify
from tests.faults.storm.ledger import FAILED, SUCCESS, Payment
from tests.faults.storm.world import World

WAYS: Mapping[str, int] = {"true": 6, "again": 4, "false": 3, "unknown": 1, "forged": 2}
TAKEN = {200, 503}
_SOURCES = "SELECT DISTINCT data->>'source' AS source FROM events WHERE kind LIKE 'charge.%%'"


class Notices:
    """The gateway's sender of notifications, and somebody who forges them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = Random(f"notices {world.seed}")
        self._sent: list[dict[str, Any]] = []
        self.told: list[str] = []
        """What was wrong while the storm raged."""

    def act(self) -> None:
        """Send one notification."""
        payments = list(self._world.ledger.payments.values())
        if not payments:
            return
        [way] = self._rng.choices(list(WAYS), list(WAYS.values()))
        recent = payments[-6:] if self._rng.random() < 0.7 else payments
        document = _about(self._rng.choice(recent), lies=way in {"false", "forged"})
        if way == "again" and self._sent:
            document = self._rng.choice(self._sent)
        if way == "unknown":
            document["order"]["invoice_number"] = "0000000000000000000000-1-1"
        self._world.met[f"notification {way}"] += 1
        self._world.note(f"(a notification, {way}: {self._name(document)})")
        secret = "SK-forged" if way == "forged" else str(SETTINGS["doku_secret_key"])
        before = self._recorded(document)
        status = notify(self._world, document, secret)
        after = self._recorded(document)
        if after[0] != before[0] and after[1] == before[1]:
            self.told.append(f"NOTICE: {way} changed a charge from {before[0]}")
        expected = {401} if way == "forged" else TAKEN
        if status is not None and status not in expected:
            self.told.append(f"NOTICE: one that is {way} was answered with {status}")
        if way == "true":
            self._sent.append(document)

    def _recorded(self, document: Mapping[str, Any]) -> tuple[str, int]:
        """The status of the charge, and how often other processes have acted until now."""
        status = "SELECT status FROM charges WHERE gateway_number = %(number)s"
        number = document["order"]["invoice_number"]
        rows = self._world.databases.rows(status, number=number)
        return (rows[0]["status"] if rows else "none"), self._world.met["meddled"]

    def _name(self, document: Mapping[str, Any]) -> str:
        return self._world.name(document["order"]["invoice_number"])

    def findings(self) -> Iterator[str]:
        """Report what was answered wrongly, and charges that something unknown settled."""
        yield from self.told
        known = {None, *(source.value for source in Source)}
        for row in self._world.databases.rows(_SOURCES):
            if row["source"] not in known:
                yield f"NOTICE: a charge was settled by {row['source']}"


def _about(payment: Payment, *, lies: bool) -> dict[str, Any]:
    moved = payment.moves > 0
    status = SUCCESS if moved != lies else FAILED
    return {
        "order": {"invoice_number": payment.number, "amount": payment.amount},
        "transaction": {"status": status, "original_request_id": payment.request_id},
    }
