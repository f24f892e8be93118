"""structlog set-up and redaction: what is logged, and what never is.

Events are `noun.verb_past` with keys. Values under a private key, and anything in a string that
looks like a phone, an e-mail, a token or a signature, are removed whatever the caller did.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor, WrappedLogger

PRIVATE_KEYS = frozenset(
    {
        "authorization", "body", "email", "headers", "key", "masked_phone", "name", "password",
        "payer", "phone", "secret", "secret_key", "signature", "token", "token_id", "token_key",
        "url", "registration_url",
    }
)  # fmt: skip
REDACTED = "[redacted]"
_PATTERNS = (
    re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),  # e-mail
    re.compile(r"(?<![\w.:+-])(\+?62|0)8\d{7,12}(?![\w:-])"),  # Indonesian mobile numbers
    re.compile(r"HMACSHA256=[A-Za-z0-9+/=]+"),  # gateway signatures
    re.compile(r"(?<![0-9a-f-])[0-9a-f]{32}(?![0-9a-f-])"),  # gateway tokens
    re.compile(r"gAAAA[A-Za-z0-9_=-]+"),  # Fernet ciphertext
    re.compile(r"(?<=://)[^/@\s]+@"),  # credentials in a URL
    re.compile(r"SK-[A-Za-z0-9-]{6,}"),  # DOKU secret keys
)


def scrub(text: str) -> str:
    """Remove from a text whatever looks personal or secret."""
    for pattern in _PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text


def redact(
    _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Redact one log event: private keys wholly, other values by pattern."""
    for key, value in event.items():
        event[key] = REDACTED if key.lower() in PRIVATE_KEYS else _clean(value)
    return event


def _clean(value: object) -> object:
    if isinstance(value, str):
        return scrub(value) if len(value) > 6 else value
    if isinstance(value, dict):
        return {
            k: REDACTED if str(k).lower() in PRIVATE_KEYS else _clean(v) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, int | bool | None):
        return value
    return scrub(str(value))


def configure(
    log_format: str = "console", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send structlog and the standard library's log to `stream` (default stderr), redacted."""
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
        structlog.processors.format_exc_info,  # first, so that tracebacks are scrubbed too
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
