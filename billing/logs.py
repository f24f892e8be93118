"""Logs: loggers, the set-up of structlog, and redacting what must never be logged.

Events are `noun.verb_past` with keys. Values under a private key, and any part of a string that
looks like a phone, an e-mail, a token or a signature, are removed from every event. Characters that
control a terminal are written as their codes. structlog is loaded when a line is written: it takes
longer than a command that reads rows.
"""

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

from billing.domain.escaping import escape

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

PRIVATE_KEYS = frozenset(
    {"authorization", "body", "headers", "key", "name", "payer", "secret_key", "token_id",
     "token_key", "url", "registration_url"}
)  # fmt: skip
PRIVATE_ENDS = ("email", "password", "phone", "secret", "signature", "token")
"""A key is private if its last word is one of these: `wallet_phone`."""
REDACTED = "[redacted]"
TRACEBACKS = frozenset({"exception", "stack"})
"""The keys whose values have several lines; all other values are written on one line."""
# Every repetition is bounded or stops at the first mismatch, so that the cost of a text grows with
# its length only. UUIDs, gateway numbers and ISO instants must pass: operators search for them.
_PATTERNS_WITH_AT = (
    # Credentials in a URL, up to its last @: a password may contain @ and / as they are.
    re.compile(r"(?<=://)(?:(?!://)[^\s\"'<>]){0,512}@"),
    re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63})+"),  # e-mail
)
_PATTERNS = (
    re.compile(  # Indonesian mobile numbers, also in groups; not the digits of a fraction
        r"(?<![\w-])(?<!\d\.)(?:\+?62[ -]?|0)8\d{1,3}(?:[ -]?\d{3,4}){2,3}(?![\w-])"
    ),
    re.compile(r"HMACSHA256=[A-Za-z0-9+/=]+"),  # gateway signatures
    re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])"),  # gateway tokens
    re.compile(r"(?<![\w-])gAAAA[\w=-]+"),  # Fernet ciphertext
    re.compile(r"(?<![\w-])[\w-]{43}=(?!=)"),  # Fernet keys
    re.compile(r"(?<![\w-])SK-[\w-]{6,}"),  # DOKU secret keys
    re.compile(r"obk_live_\w{20,}|whsec_[\w+/=-]{16,}"),  # API keys and webhook secrets
)
# PostgreSQL's errors have a row, a key or a parameter there.
_OF_A_ROW_MARK = ":  "
_OF_A_ROW = re.compile(r"(DETAIL|CONTEXT):  [^\n]*")


def scrub(text: str) -> str:
    """Remove everything from a text that looks personal or secret, and values of rows."""
    patterns = (*_PATTERNS_WITH_AT, *_PATTERNS) if "@" in text else _PATTERNS
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    return _OF_A_ROW.sub(rf"\1 {REDACTED}", text) if _OF_A_ROW_MARK in text else text


def redact(_logger: "WrappedLogger", _method: str, event: "EventDict") -> "EventDict":
    """Redact one log event: private keys wholly, other values by pattern."""
    for key, value in event.items():
        keep = "\n\t" if key in TRACEBACKS else ""
        event[key] = REDACTED if _is_private(key) else _clean(value, keep)
    return event


def _is_private(key: str) -> bool:
    folded = key.lower()
    return folded in PRIVATE_KEYS or folded.endswith(PRIVATE_ENDS)


def _clean(value: object, keep: str = "") -> object:
    if isinstance(value, str):
        return escape(scrub(value) if len(value) > 4 else value, keep)
    if isinstance(value, dict):
        return {
            escape(scrub(str(key))): REDACTED if _is_private(str(key)) else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, int | float | None):
        return value
    return escape(scrub(str(value)))


def configure(
    log_format: str = "console", level: str = "info", stream: TextIO | None = None
) -> None:
    """Log to `stream` (default stderr), redacted, also what the standard library's log gets."""
    import structlog

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )
    )
    finish: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # first, so that tracebacks are scrubbed, too
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[*finish, renderer]
        )
    )
    _set_root(handler, level)


def configure_at_first_line(log_format: str, level: str, stream: TextIO) -> None:
    """Do the same as `configure`, at the first line; most commands write none."""
    _set_root(_FirstLine(log_format, level, stream), level)


def _set_root(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in (
        "alembic",
        "urllib3",
        "kombu",
        "amqp",
        "tornado.access",
        "celery.worker.strategy",
        "celery.app.trace",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


class _FirstLine(logging.Handler):
    """Configures the log when its first line is written."""

    def __init__(self, log_format: str, level: str, stream: TextIO) -> None:
        super().__init__()
        self._configuration = (log_format, level, stream)

    def configure(self) -> None:
        configure(*self._configuration)

    def emit(self, record: logging.LogRecord) -> None:
        self.configure()
        logging.getLogger().handle(record)


class Logger:
    """A logger of one module; structlog's own is made for its first line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: Any = None

    def debug(self, event: str, **values: object) -> None:
        """Write a line for developers."""
        self._write(logging.DEBUG, "debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """Write a line about normal work."""
        self._write(logging.INFO, "info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """Write a line about something unusual."""
        self._write(logging.WARNING, "warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """Write a line about something that an operator must know."""
        self._write(logging.ERROR, "error", event, values)

    def exception(self, event: str, **values: object) -> None:
        """Write a line with the traceback of the error that is being handled."""
        self._write(logging.ERROR, "exception", event, values)

    def _write(self, level: int, method: str, event: str, values: dict[str, object]) -> None:
        root = logging.getLogger()
        for handler in root.handlers:
            if isinstance(handler, _FirstLine):
                if level < root.level:
                    return
                handler.configure()
                break
        if self._made is None:
            import structlog

            self._made = structlog.get_logger(self._name)
        getattr(self._made, method)(event, **values)
