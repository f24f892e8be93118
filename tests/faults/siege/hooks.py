"""Webhooks under kills: the endpoint, the due deliveries, and what the receiver must have.

The verdict is read from the receiver's own file. The specification's arithmetic is repeated here.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from pathlib import Path

from billing.services.webhooks import endpoints, fanout
from tests.e2e.world import BY, World
from tests.faults.siege.receiver import Received, read

_LEASES_END = "UPDATE webhook_endpoints SET leased_until = NULL, failing_since = NULL"
_WAITS_END = """
    UPDATE webhook_deliveries SET leased_until = NULL, next_attempt_at = clock_timestamp()
    WHERE status = 'pending'"""
_WANTED = """
    SELECT e.id, e.kind, f.position, d.status FROM events e
    LEFT JOIN event_feed f ON f.event_id = e.id
    LEFT JOIN webhook_deliveries d ON d.event_id = e.id
    WHERE f.position IS NULL OR f.position > :after ORDER BY e.id"""


class Hooks:
    """One endpoint for everything, and the file of its receiver."""

    def __init__(self, world: World, port: int, file: Path) -> None:
        self.file = file
        self._world = world
        made = endpoints.create(world.context, f"http://127.0.0.1:{port}/hook", BY)
        self._secret = made.secret
        self._after = int(world.value("SELECT starts_after FROM webhook_endpoints"))

    def hurry(self) -> None:
        """End leases and waits, as time would."""
        with self._world.context.database.transaction() as connection:
            for statement in (_LEASES_END, _WAITS_END):
                connection.exec_driver_sql(statement)

    def is_done(self) -> bool:
        """Whether every event has a delivery, and every delivery is over."""
        fanout.fan_out(self._world.context)
        left = "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"
        return int(self._world.value(left)) == 0

    def findings(self) -> Iterator[str]:
        """Report events that the receiver does not have, and requests that are wrong."""
        received = read(self.file)
        yield from wrong(received, self._secret)
        here = {each.position for each in received}
        for row in self._world.rows(_WANTED, after=self._after):
            if row.position is None:
                yield f"event {row.id} ({row.kind}) is not in the feed"
            elif row.position not in here:
                yield f"event {row.id} ({row.kind}) never arrived; its delivery is {row.status}"
            elif row.status != "succeeded":
                yield f"event {row.id} ({row.kind}) arrived; its delivery is {row.status}"

    @property
    def repeats(self) -> int:
        """How many requests came more than once."""
        received = read(self.file)
        return len(received) - len({each.id for each in received})


def wrong(received: Sequence[Received], secret: str) -> Iterator[str]:
    """Report requests that are not signed, and ids that stand for more than one event."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    positions: dict[str, int] = {}
    for each in received:
        content = f"{each.id}.{each.timestamp}.{each.body}".encode()
        mac = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        if f"v1,{mac}" not in each.signature.split():
            yield f"{each.id} is not signed"
        if positions.setdefault(each.id, each.position) != each.position:
            yield f"{each.id} stands for two events"
    if len(set(positions.values())) != len(positions):
        yield f"{len(positions)} ids for {len(set(positions.values()))} events"
