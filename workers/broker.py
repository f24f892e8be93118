"""Drop unreadable messages with an alarm, so that they cannot crash the worker.

kombu 5.7 does not validate what it reads from a Redis list; an unreadable entry raises an error in
the worker's event loop and ends the process. An error reply of Redis does the same; here it causes
a reconnect. A worker that serves every queue also reserves one process for queues other than
charges. This module does not know tasks.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.scheduling import round_robin_cycle
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - Redis's own
    InvalidResponse,
    ResponseError,
)

from billing.logs import Logger

log = Logger(__name__)

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


CHARGES = "charges"


class _Spare:
    """Limit how many charge messages one worker handles at once if it also serves other queues."""

    charges_max: int | None = None


class _Cycle(round_robin_cycle):
    """Rotate the queues, skipping the charges queue while enough charge messages are in work."""

    channel: "Channel"

    def consume(self, n: int) -> list[str]:
        queues: list[str] = super().consume(n)  # type: ignore[no-untyped-call]
        self.channel.spares = self.channel.has_enough_charges() and len(queues) > 1
        return [name for name in queues if name != CHARGES] if self.channel.spares else queues


class QoS(redis.QoS):
    """Track what one channel has fetched; release a message that cannot be acknowledged.

    Celery logs this and continues. A worker with no free slots would fetch nothing, get no error,
    and never reconnect. The message is redelivered later; the claim makes that safe.
    """

    def ack(self, delivery_tag: Any) -> None:
        """Remove a completed message from Redis."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu has few
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - as kombu calls it
        """Remove a message that will not be handled from Redis, or requeue it."""
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]  # as above
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class Channel(redis.Channel):
    """A channel that survives unreadable messages, and leaves charges in Redis when it has enough.

    Otherwise slow wallets would occupy every process, and delay ticks and refunds.
    """

    QoS = QoS
    spares = False
    _listener: tuple[Any, int] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._queue_cycle = _Cycle()  # type: ignore[no-untyped-call]
        self._queue_cycle.channel = self

    def has_enough_charges(self) -> bool:
        """Whether the number of unfinished charge messages has reached the limit."""
        qos = self.qos
        charges = sum(
            message.delivery_info.get("routing_key") == CHARGES
            for tag, message in qos._delivered.items()  # noqa: SLF001 - as below
            if tag not in qos._dirty  # noqa: SLF001 - acknowledged, and not removed yet
        )
        return _Spare.charges_max is not None and charges >= _Spare.charges_max

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - as kombu calls it
        """Acknowledge a completed message, and consume charges again if that frees capacity."""
        super().basic_ack(delivery_tag, multiple)  # type: ignore[no-untyped-call]
        if self.spares and self._in_poll and not self.has_enough_charges():
            self.spares = False
            if self._listener is not None:
                # The pending read in Redis excludes charges: start a new one.
                with self.conn_or_acquire() as client:
                    client.client_unblock(self._listener[1])

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - as kombu calls it
        """Report a closed connection with the error kombu expects instead of AttributeError.

        kombu acknowledges and restores messages of a closed connection; an AttributeError there
        ended the whole worker.
        """
        if self.connection.client is None:
            raise ConnectionError("the connection to Redis is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]

    def _brpop_start(self, timeout: Any = None) -> None:
        connection = self.client.connection
        if self._listener is None or self._listener[0] is not connection._sock:  # noqa: SLF001 - a new one is a new client
            connection.send_command("CLIENT", "ID")
            self._listener = (connection._sock, int(connection.read_response()))  # noqa: SLF001 - as above
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> Any:
        held = set(self.qos._delivered)  # noqa: SLF001 - kombu has no other way
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has few
        except OSError:
            raise  # some TLS errors are ValueErrors, too
        except _MALFORMED as error:
            log.error("message.malformed", why=type(error).__name__)  # noqa: TRY400 - no bug of ours
        for tag in set(self.qos._delivered) - held:  # noqa: SLF001 - as above
            self.qos.reject(tag)
        return True


class Transport(redis.Transport):
    """The Redis transport with that channel; any error reply closes the connection.

    A server that became a replica answers with errors, as does one that is loading its data or
    whose master is unreachable. Celery's worker exits on them (Celery #8030, #10096); on a
    connection error it reconnects until another server answers at that address.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, InvalidResponse, ResponseError)


def spare_a_process(concurrency: int) -> None:
    """Reserve one worker process for queues other than charges, if there are two or more."""
    _Spare.charges_max = concurrency - 1 if concurrency > 1 else None


def install() -> None:
    """Use this transport for redis:// and rediss:// URLs in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
