"""Live parts: what *Now* and *Attention* send again, as one answer or as a stream.

A browser that asks for `text/event-stream` gets a stream; any other gets the part once, and polls.
"""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from billing.clock import real_now
from billing.domain.errors import BillingError
from billing.domain.people import Action
from billing.logs import Logger
from billing.services.operating import sessions
from billing.services.reading import now
from billing.services.reading.now import Situation
from billing.web.console import streams
from billing.web.console.streams import Shared, Stream, Streams
from billing.web.console.visits import Visit
from billing.web.metrics import queue_lengths

log = Logger(__name__)
QUEUES = "now"


class Live(NamedTuple):
    """The situation, and the messages of each queue; None when Redis does not answer."""

    situation: Situation
    queues: dict[str, int] | None


Show = Callable[[Visit, Live], Response]


def read(visit: Visit) -> Live:
    """Read what both parts show."""
    return Live(now.read(visit.context), queue_lengths(visit.context.settings.redis))


def answer(visit: Visit, action: Action, show: Show) -> Response:
    """Answer with the part: once, or as a stream, which has no end to wait for with HEAD."""
    is_head = visit.request.method == "HEAD"
    if is_head or streams.KIND not in visit.request.headers.get("accept", ""):
        return show(visit, read(visit))
    known: Streams = visit.request.app.state.streams
    shared = known.shared.setdefault(QUEUES, Shared())

    def event(asked_at: float) -> bytes:
        try:
            found = sessions.recognize(
                visit.context, visit.session_id, real_now(), counts_as_use=False
            )
            if found is None or not found.person.may(action):
                return streams.ENDED
            live = shared.get(lambda: read(visit), asked_at)
            assert isinstance(live, Live)  # noqa: S101 - `read` makes nothing else
            return streams.event("part", bytes(show(visit, live).body).decode())
        except (BillingError, SQLAlchemyError) as error:
            log.warning("web.stream_stale", error=type(error).__name__)
            return streams.STALE

    return Stream(known, visit.session_id, event)
