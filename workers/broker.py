"""Messages that are none: dropped with an alarm, instead of taking the worker down with them.

kombu 5.7 reads what lies in a Redis list without looking; garbage there raises out of the
worker's event loop and ends the process. It knows no task.
"""

from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


class Channel(redis.Channel):
    """A channel that survives what it reads."""

    def _brpop_read(self, **options: Any) -> Any:
        held = set(self.qos._delivered)  # noqa: SLF001 - kombu tells it in no other way
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has few
        except OSError:
            raise  # some of TLS's are ValueErrors too
        except _MALFORMED as error:
            log.error("message.malformed", why=type(error).__name__)  # noqa: TRY400 - no bug of ours
        for tag in set(self.qos._delivered) - held:  # noqa: SLF001 - as above
            self.qos.reject(tag)
        return True


class Transport(redis.Transport):
    """The Redis transport with that channel."""

    Channel = Channel


def install() -> None:
    """Let redis:// and rediss:// URLs mean this transport, in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
