"""The world of one seed: clock, gateway, processes that die and start again, and a trace.

It runs what it is given as steps of a process. It does not know what is to be done, nor what is
right.
"""

from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy.exc import OperationalError

from billing.config import Settings
from billing.domain import charge
from billing.domain.errors import BillingError
from billing.services import context as ids_of_orders
from billing.services.collecting import pipeline
from billing.services.context import Context
from billing.services.operating import approvals, people
from billing.services.subscriptions import subscribing
from billing.services.wallets import linking, unlinking
from billing.store.session import BRIEFLY
from billing.store.vault import Vault
from tests.faults.storm.chaos import (
    IMPATIENCE,
    Chaos,
    Crash,
    Desk,
    LazyPool,
    StormDatabase,
    StormWire,
)
from tests.faults.storm.databases import Databases
from tests.faults.storm.gateway import StormGateway
from tests.faults.storm.ledger import Ledger

START = datetime(2026, 1, 31, 2, tzinfo=UTC)
"""09:00 in Jakarta, on a day that February does not have."""
KEY = urlsafe_b64encode(b"storm".ljust(32)).decode()
MEDDLING_DEPTH = 2
DAWDLING_MAX = timedelta(minutes=5)
"""How long a process may be between two of its steps while others go on; see gateway.py."""
PERIODS_NAMED = 400
_LEASE = "leased_until = clock_timestamp() + make_interval(secs =>"
_LONG_LEASE = _LEASE.replace("secs", "hours => 1, secs")
_BRIEFLY = f"SET LOCAL lock_timeout = '{BRIEFLY}'"
_AT_ONCE = f"SET LOCAL lock_timeout = '{IMPATIENCE}'"


class StormClock:
    """Billing time: true time, and how wrong the machine's clock is."""

    def __init__(self) -> None:
        self.true = START
        self.skew = timedelta(0)

    def now(self) -> datetime:
        """What the machine believes."""
        return self.true + self.skew


class World:
    """Everything that one seed needs."""

    def __init__(self, seed: int, databases: Databases, **settings: Any) -> None:
        self.seed = seed
        self.rng = Random(f"storm {seed}")
        self.databases = databases
        self.clock = StormClock()
        self.chaos = Chaos(Random(f"chaos {seed}"))
        self.ledger = Ledger()
        self.gateway = StormGateway(
            self.ledger, Random(f"gateway {seed}"), self.clock, self.note, self.name
        )
        self.gateway.point = self.chaos.point
        self.chaos.meddle = self._meddle
        self.meanwhile: Callable[[], None] = lambda: None
        self.rewrite: Callable[[str], str] = lambda statement: statement
        self.failed: Callable[[str, Exception], None] | None = None
        """Told of an error that nobody expected, where the storm is to go on all the same."""
        self.met: Counter[str] = Counter()
        self.trace: list[str] = []
        self.canceled: dict[UUID, int] = {}
        self.restores: list[int] = []
        self._settings = Settings(
            doku_base_url="http://127.0.0.1:1",
            doku_client_id="STORM",
            token_key=KEY,
            wallet_wait_days=5,
            balance_recheck_seconds=86_400,
            **settings,
        )
        self._vault = Vault([KEY])
        self._ids = Random(f"ids {seed}")
        self._depth = 0
        self._dawdled = timedelta(0)
        self._names: dict[str, str] = {}
        self._databases: dict[int, StormDatabase] = {}
        self._snapshot: str | None = None

    # --- processes ---------------------------------------------------------------------------

    def run(
        self, what: str, deed: Callable[[Context], Any], heat: float = 1.0, *, asked: bool = True
    ) -> str:
        """Run an action of a process; returns done, killed, cut, refused or failed.

        Only an action that a person `asked` for can be refused: for a worker a refusal is an error.
        """
        if self._depth == 0:
            self._dawdled = timedelta(0)
        heat, self.chaos.heat = self.chaos.heat, heat
        context = self._context()
        depth, self._depth = self._depth, self._depth + 1
        try:
            deed(context)
            end = "done"
        except Crash as crash:
            end = "killed"
            self.note(f"{what}: killed {crash}")
        except OperationalError as lost:
            end = "cut"
            self.note(f"{what}: {type(lost.orig).__name__} {lost.orig}".splitlines()[0])
        except BillingError as refused:
            end = "refused"
            self.note(f"{what}: {type(refused).__name__}")
            if not asked and self.failed is not None:
                self.failed(what, refused)
        except Exception as error:
            if self.failed is None:
                raise
            end = "failed"
            self.note(f"{what}: {type(error).__name__}")
            self.failed(what, error)
        finally:
            self._depth = depth
            self.chaos.heat = heat
        self.met[f"process {end}"] += 1
        return end

    def _meddle(self) -> None:
        """Run an action of another process while this one is between two steps."""
        if self._depth > MEDDLING_DEPTH:
            return
        self.met["meddled"] += 1
        self.meanwhile()

    def _context(self) -> Context:
        """Build the context of a process that has just started, without earlier state."""
        depth = self._depth
        if depth not in self._databases:
            database = StormDatabase(self.databases.url, self.chaos, impatient=depth > 0)
            database.rewrite = self._rewritten
            self._databases[depth] = database
        database = self._databases[depth]
        return Context(
            self._settings, database, self.gateway, self.clock, self._vault, LazyPool(), Desk()
        )  # fmt: skip

    def _rewritten(self, statement: str) -> str:
        # Leases are in real time. Here chance ends them (work.end_leases), and no slow machine.
        # Whoever holds a lock cannot let go of it meanwhile, so that nobody has to wait a second.
        short = statement.replace(_LEASE, _LONG_LEASE).replace(_BRIEFLY, _AT_ONCE)
        return self.rewrite(short)

    def _disconnect(self) -> None:
        for database in self._databases.values():
            database.dispose()
        self._databases.clear()

    # --- time --------------------------------------------------------------------------------

    def pass_time(self, step: timedelta) -> None:
        """Let time pass; only a little while a process is between two steps."""
        if self._depth > 0:
            step = min(step, DAWDLING_MAX - self._dawdled)
            self._dawdled += step
        self.clock.true += step
        self.gateway.arrive()

    # --- snapshots ---------------------------------------------------------------------------

    @property
    def has_snapshot(self) -> bool:
        """Whether there is something to restore."""
        return self._snapshot is not None

    @property
    def restored_seq(self) -> int:
        """When the last restore was, in the ledger's count; 0 for never."""
        return self.restores[-1] if self.restores else 0

    def configure(self, **settings: Any) -> None:
        """Give every process that starts from now on other settings."""
        self._settings = self._settings.model_copy(update=settings)

    def take_snapshot(self) -> None:
        """Back the database up; an older backup is not kept."""
        self._disconnect()
        self._snapshot = self.databases.snapshot()
        self.note("the database is backed up")

    def restore(self) -> None:
        """Restore the backup. The gateway keeps its newer state."""
        if self._snapshot is None:
            return
        self._disconnect()
        self.databases.restore(self._snapshot)
        self._snapshot = None
        self.gateway.arrive(all_of_them=True)  # a restore takes longer than any request
        self.restores.append(self.ledger.next())
        ended = "SELECT id FROM subscriptions WHERE ended_at IS NOT NULL"
        still = {row["id"] for row in self.databases.rows(ended)}
        self.canceled = {key: seq for key, seq in self.canceled.items() if key in still}
        self.met["restored"] += 1
        self.note("THE BACKUP IS RESTORED")

    def close(self) -> None:
        """Let go of the database."""
        self._disconnect()

    # --- words -------------------------------------------------------------------------------

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        at = f"{self.clock.now():%Y-%m-%d %H:%M:%S}"
        self.trace.append(f"{at} {'    ' * self._depth}{line}")

    @property
    def trace_hash(self) -> str:
        """One value for everything that was decided and happened."""
        return sha256("\n".join(self.trace).encode()).hexdigest()

    def call(self, subscription: UUID, name: str) -> None:
        """Give a subscription a short name, and its invoices with it."""
        self._names[str(subscription)] = name
        self._names[charge.gateway_number(subscription, 0, 0).partition("-")[0]] = name
        for index in range(PERIODS_NAMED):
            self._names[str(charge.invoice_id(subscription, index))] = f"{name}/{index}"

    def name(self, thing: object) -> str:
        """The short name of an id or a gateway number."""
        text = str(thing)
        owner, _, rest = text.partition("-")
        if text in self._names:
            return self._names[text]
        return f"{self._names[owner]}/{rest}" if owner in self._names and rest else text[:8]

    def uuid4(self) -> UUID:
        """An id that is drawn from the seed."""
        return UUID(int=self._ids.getrandbits(128), version=4)


@contextmanager
def determined(world: World) -> Iterator[None]:
    """Let the engine draw its ids from the seed, and wait for calls without threads."""
    rng = Random(f"waiting {world.seed}")
    with ExitStack() as undo:
        for module in (ids_of_orders, subscribing, linking, unlinking, approvals, people):
            put(undo, module, "uuid4", world.uuid4)
        put(undo, pipeline, "Wire", lambda context: StormWire(context, world.chaos, rng))
        yield


def put(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Replace an attribute until the stack is closed."""
    before = getattr(owner, name)
    undo.callback(setattr, owner, name, before)
    setattr(owner, name, value)
