"""Two acts at the same moment, or one while another waits in the middle.

It knows threads, events and locks, and nothing of what is done.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Barrier, Event
from typing import Any

from billing.domain.errors import BillingError
from tests.integration.engine import Engine

Act = Callable[[], Any]
Hold = Callable[[Any, str], AbstractContextManager[Event]]


def at_once(*acts: Act) -> list[Any]:
    """Run acts at the same moment; what each returned, or the refusal it raised."""
    barrier = Barrier(len(acts))

    def act(do: Act) -> Any:
        barrier.wait(10)
        try:
            return do()
        except BillingError as refused:
            return refused

    with ThreadPoolExecutor(len(acts)) as pool:
        return [done.result(60) for done in [pool.submit(act, do) for do in acts]]


def is_waiting(engine: Engine) -> bool:
    """Whether some connection waits for a lock."""
    return bool(engine.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                           " AND datname = current_database()"))  # fmt: skip


def beside(engine: Engine, hold: Hold, where: tuple[Any, str], first: Act, second: Act) -> None:
    """Run the second act while the first one waits, unfinished, after a statement."""
    with ThreadPoolExecutor(2) as pool:
        with hold(*where) as stands:
            one = pool.submit(first)
            assert stands.wait(10)
            two = pool.submit(second)
            engine.until(lambda: two.done() or is_waiting(engine))
        one.result(10)
        two.result(10)
