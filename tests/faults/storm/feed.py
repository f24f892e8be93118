"""A reader of the event feed and two endpoints in a wide storm, and what they must have at the end.

The reader polls while events are committed late or rolled back. After a restore it starts from the
last position that the backup had, as docs/events.md says. It sends nothing: the siege does.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from billing.services.webhooks import fanout
from tests.faults.storm.calls import OPEN
from tests.faults.storm.door import Door
from tests.faults.storm.world import World

ENDPOINTS: tuple[tuple[str, ...], ...] = ((), ("invoice.*", "charge.declined", "refund.requested"))
"""The event types of the endpoints; none means all."""
LIMITS = (1, 7, 100, 500)
PAGES_MAX = 200
_IN_FEED = "SELECT f.position, e.id, e.kind FROM event_feed f JOIN events e ON e.id = f.event_id"


class Feed:
    """A reader, and the endpoints of a shop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = Random(f"feed {world.seed}")
        self._read: dict[int, int] = {}
        self._after = 0
        self._reads = False
        self.told: list[str] = []
        """What was wrong while the storm raged."""

    def begin(self, door: Door) -> None:
        """Create the endpoints."""
        self._door = door
        for number, types in enumerate(ENDPOINTS):
            body = {"url": f"https://shop.example/{number}", "event_types": list(types)}
            door.send("POST", "/v1/webhook-endpoints", body, f"endpoint-{number}")

    def act(self) -> None:
        """Read a page, or make deliveries. There is one reader: it reads one page at a time."""
        if self._reads or self._rng.random() < 0.5:
            self._world.run("fan out", fanout.fan_out, asked=False)
        else:
            self._poll(self._rng.choice(LIMITS))

    def _poll(self, limit: int) -> int | None:
        """Read one page; how many events it had, or None without an answer."""
        self._world.met["feed read"] += 1
        self._reads = True
        answer = self._door.send("GET", f"/v1/events?after={self._after}&limit={limit}", None)
        self._reads = False
        # A locked feed says so: the reader asks again.
        if answer is None or answer.kind in OPEN:
            return None
        if not answer.succeeded:
            self.told.append(f"FEED: reading after {self._after} was refused: {answer.document}")
            return None
        found = answer.document["data"]
        for row in found:
            if row["position"] <= max(self._read, default=0):
                self.told.append(f"FEED: position {row['position']} came after a higher one")
            self._read[row["position"]] = row["id"]
        self._after = int(answer.document["next_cursor"])
        return len(found)

    def restored(self) -> None:
        """Start again where the backup ended: what came after it is gone."""
        [row] = self._world.databases.rows("SELECT max(position) AS end FROM event_feed")
        end = row["end"] or 0
        self._read = {at: event for at, event in self._read.items() if at <= end}
        self._after = min(self._after, end)

    # --- the end -----------------------------------------------------------------------------

    def findings(self) -> Iterator[str]:
        """Report events that the reader, or an endpoint, does not have exactly once."""
        for _ in range(PAGES_MAX):
            if not self._poll(500):
                break
        self._world.run("fan out", fanout.fan_out, asked=False)
        yield from self.told
        yield from self._positions()
        yield from self._deliveries()

    def _positions(self) -> Iterator[str]:
        rows = self._world.databases.rows
        feed = {row["position"]: row["id"] for row in rows(_IN_FEED)}
        events = {row["id"] for row in rows("SELECT id FROM events")}
        if set(feed.values()) != events or len(feed) != len(events):
            yield f"FEED: {len(events)} events, {len(feed)} positions"
        missed = {at: event for at, event in feed.items() if self._read.get(at) != event}
        if missed:
            yield f"FEED: the reader missed {len(missed)} of {len(feed)}: {sorted(missed)[:5]}"
        if extra := self._read.keys() - feed.keys():
            yield f"FEED: the reader has {len(extra)} that are in no feed"

    def _deliveries(self) -> Iterator[str]:
        rows = self._world.databases.rows
        endpoints = rows("SELECT id, url, event_types, starts_after FROM webhook_endpoints")
        if len(endpoints) > len(ENDPOINTS):
            yield f"KEY: {len(endpoints)} endpoints were made with {len(ENDPOINTS)} keys"
        feed = rows(_IN_FEED)
        for endpoint in endpoints:
            made = rows(
                "SELECT event_id FROM webhook_deliveries WHERE endpoint_id = %(id)s"
                " ORDER BY event_id", id=endpoint["id"],
            )  # fmt: skip
            wanted = sorted(
                row["id"] for row in feed
                if row["position"] > endpoint["starts_after"]
                and _fits(row["kind"], endpoint["event_types"])
            )  # fmt: skip
            if [row["event_id"] for row in made] != wanted:
                yield f"DELIVERY: {endpoint['url']}: {len(made)} made of {len(wanted)} events"
        self._world.met["deliveries"] += sum(
            row["count"] for row in rows("SELECT count(*) FROM webhook_deliveries")
        )


def _fits(kind: str, types: Any) -> bool:
    return not types or kind in types or f"{kind.partition('.')[0]}.*" in types
