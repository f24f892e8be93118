"""Logs contain no token, phone, e-mail, key or signature, but the values needed for a search."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from billing import logs
from billing.domain import charge
from billing.logs import REDACTED, scrub

TOKEN = "c15d437b56b918abaa3951b0beb48a57"
FERNET = "mNb-v5c4X3z2L1kJhGfDsApOiUyTrEwQ_0987654321="
SEALED = Fernet(FERNET.encode()).encrypt(b"a token").decode()
SIGNATURE = "HMACSHA256=cw8mousSklhMtMLG4sXV0scLiLpx/IlcMaznIUtqq08="
SECRETS = {
    "phone": "6281234567890",
    "phone with plus": "+6281234567890",
    "phone at home": "081234567890",
    "phone with dashes": "0812-3456-7890",
    "phone with blanks": "+62 812 3456 7890",
    "short phone": "0812345678",
    "e-mail": "budi.santoso+ovo@example.co.id",
    "shortest e-mail": "a@b.co",
    "token": TOKEN,
    "token in capitals": TOKEN.upper(),
    "signature": SIGNATURE,
    "token key": FERNET,
    "sealed token": SEALED,
    "secret key": "SK-abcDEF123456",
    "secret key with underscores": "SK-abc_DEF_123456",
}
PASSWORDS = [
    "postgresql://billing:hunter2@db.example.com/billing",
    "postgresql+psycopg://billing:hunt$er2@db.example.com:5432/billing",
    "redis://:hunter2!@redis.example.com:6379/0",
    "redis://:hunter2@localhost:6379/0",
    "redis://:hun@ter2@localhost:6379/0",
    "redis://:hun/ter2@localhost:6379/0",
    "postgresql://billing:hun/t@er?2#@db.example.com/billing",
    "http://me:hunter2@127.0.0.1:3128",
]
SAFE = [
    "0b9f4c52-6f0e-4c19-9a55-3d1f6a2b7c80",
    "62812345-6789-4012-8345-081234567890",
    "08123456-0812-4812-8812-628123456789",
    "2026-01-31T09:00:00+07:00",
    "2026-08-10T08:12:34.081234567Z",
    "2026-01-31 09:00:00.123456+00:00",
    "0LJEBGYJUbSSzT6t5E8tiW-7-2",
    "000000000000000000000z-z-z",
    "charge.settled",
    "insufficient_funds",
    "12500",
    "9999999999",
    "0.081234567",
    "https://api-sandbox.doku.com/ovo-open-api/v1/payment",
    "redis://localhost:6379/0",
    "2d 5d 7d 7d",
    "0 10 25 * *",
]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging belongs to the whole process: each test restores it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    manager = logging.Logger.manager.loggerDict
    levels = {n: x.level for n, x in manager.items() if isinstance(x, logging.Logger)}
    before = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, noisy in manager.items():
        # To set a level looks through every logger.
        if isinstance(noisy, logging.Logger) and noisy.level != levels.get(name, logging.NOTSET):
            noisy.setLevel(levels.get(name, logging.NOTSET))
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


def _written(log_format: str = "json", level: str = "info") -> tuple[Any, StringIO]:
    """A logger of this test's own, and what it writes."""
    stream = StringIO()
    logs.configure(log_format, level, stream)
    return structlog.get_logger(f"tests.{uuid4()}"), stream


def _one(stream: StringIO) -> dict[str, Any]:
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    line: dict[str, Any] = json.loads(lines[0])
    return line


def _fail(text: str) -> None:
    """Fail with a foreign text, as a client library would."""
    known: dict[str, str] = {}
    try:
        known.pop(text)
    except KeyError as cause:
        raise RuntimeError(f"could not send {text}") from cause


each_format = pytest.mark.parametrize("log_format", ["json", "console"])
each_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)


@each_secret
@pytest.mark.parametrize(
    "frame", ["{}", "got {} from", "x={}", '"phone":"{}"', "to:{}", "({})", "{}: refused", "{},{}"]
)
def test_secrets_are_removed_wherever_they_stand_in_a_text(secret: str, frame: str) -> None:
    """Quoted, after a colon, before one, in brackets, twice: the rest names no person."""
    text = frame.replace("{}", secret)

    cleaned = scrub(text)

    assert secret not in cleaned
    assert cleaned == frame.replace("{}", REDACTED)


@pytest.mark.parametrize("url", PASSWORDS)
def test_passwords_in_urls_are_removed_whole(url: str) -> None:
    """Also with marks in them that end other patterns, and the host stays to be read."""
    cleaned = scrub(f"cannot reach {url}; check it")

    scheme, _, rest = url.partition("://")
    host = rest.rpartition("@")[2]
    assert cleaned == f"cannot reach {scheme}://{REDACTED}{host}; check it"


@pytest.mark.parametrize("text", SAFE)
def test_values_that_people_search_for_survive(text: str) -> None:
    """Ids, gateway numbers, instants, amounts, faults and cron expressions are not removed."""
    assert scrub(text) == text
    assert scrub(f"about {text}, again") == f"about {text}, again"


@given(st.uuids())
def test_no_uuid_is_taken_for_a_secret(identity: UUID) -> None:
    """Every UUID survives, with any digits."""
    assert scrub(f"charge {identity} settled") == f"charge {identity} settled"
    assert scrub(str(identity)) == str(identity)


@given(st.uuids(), st.integers(0, 10_000_000), st.integers(1, 1_000))
def test_no_gateway_number_is_taken_for_a_secret(
    subscription: UUID, period: int, attempt: int
) -> None:
    """The number is how a payment is found in DOKU's back office."""
    number = charge.gateway_number(subscription, period, attempt)

    assert scrub(f"number={number}") == f"number={number}"


@pytest.mark.parametrize("piece", ["SK", "gAAAAAB", "08123456789", "6281234567890"])
def test_a_gateway_number_that_looks_like_a_secret_survives(piece: str) -> None:
    """One subscription in 3,844 has a number whose first part ends with "SK"."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for digit in f"1{piece:0>20}":
        value = value * 62 + digits.index(digit)
    number = charge.gateway_number(UUID(int=value), 500_000, 500)

    assert piece in number
    assert scrub(number) == number


@given(st.datetimes(timezones=st.just(UTC)))
def test_no_instant_is_taken_for_a_secret(instant: datetime) -> None:
    """ISO 8601 instants survive, in any year and to the microsecond."""
    assert scrub(f"at {instant.isoformat()}") == f"at {instant.isoformat()}"


@each_format
@each_secret
def test_secrets_reach_the_log_by_no_way(secret: str, log_format: str) -> None:
    """As the event, a value, nested in one, a key, a bound context, or an exception's text."""
    log, stream = _written(log_format)
    structlog.contextvars.bind_contextvars(bound=secret)

    told = f"payment.sent {secret}"
    log.info(told, value=secret, nested={"list": [secret, (secret,)]})
    log.warning("payment.odd", odd={secret: 1}, group={secret}, raw=f"<{secret}>".encode())
    try:
        _fail(secret)
    except RuntimeError:
        log.exception("payment.failed", told=ValueError(secret))

    assert secret not in stream.getvalue()
    assert stream.getvalue().count(REDACTED) >= 9


@each_format
@each_secret
def test_the_standard_librarys_records_are_scrubbed_too(secret: str, log_format: str) -> None:
    """Celery, SQLAlchemy and urllib3 log by `logging`: message, arguments, tracebacks."""
    _, stream = _written(log_format)
    log = logging.getLogger("somebody.else")

    log.warning("could not reach %s", secret)
    log.error("task got %r", {"args": [secret]})
    try:
        _fail(secret)
    except RuntimeError:
        log.exception("boom")

    assert secret not in stream.getvalue()
    assert "could not reach" in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


def test_values_of_rows_are_removed_from_errors_of_the_database() -> None:
    """PostgreSQL shows the row, the key or the parameter; type and constraint stay."""
    said = (
        'CheckViolation: new row for relation "customers" violates check constraint "erased"\n'
        "DETAIL:  Failing row contains (C1, Rahasia, null).\n"
        "CONTEXT:  unnamed portal parameter $1 = 'Rahasia'"
    )
    _, stream = _written()
    log = logging.getLogger("celery.app.trace.of_a_task")
    for text in (said, " ".join(said.split("\n"))):
        log.error("task failed: %s", text)
        try:
            _fail(text)
        except RuntimeError:
            log.exception("task failed")

    assert "Rahasia" not in stream.getvalue()
    assert stream.getvalue().count("violates check constraint") == 6
    assert scrub("detail: two  blanks, DETAIL: one") == "detail: two  blanks, DETAIL: one"


@pytest.mark.parametrize(
    "key",
    ["phone", "email", "name", "token", "token_id", "token_key", "signature", "authorization",
     "secret", "secret_key", "password", "headers", "body", "payer", "masked_phone", "url",
     "registration_url", "Authorization", "TOKEN", "wallet_phone", "account_email",
     "access_token", "client_secret", "redis_password"],
)  # fmt: skip
def test_private_keys_hide_any_value(key: str) -> None:
    """Values without a pattern, such as names, are removed by their key, nested too."""
    log, stream = _written()

    log.info("wallet.linked", **{key: "Budi", "nested": {key: ["Budi"], "deep": [{key: "Budi"}]}})

    line = _one(stream)
    assert "Budi" not in stream.getvalue()
    assert line[key] == REDACTED
    assert line["nested"] == {key: REDACTED, "deep": [{key: REDACTED}]}


def test_json_lines_are_for_machines() -> None:
    """One object a line: event, level, an instant in UTC, and values that keep their types."""
    log, stream = _written("json")
    identity = uuid4()

    log.info(
        "charge.settled", charge=identity, amount=12_500, seconds=0.25, surplus=False, code=None,
        price=Decimal("1.5"),
    )  # fmt: skip

    line = _one(stream)
    instant = datetime.fromisoformat(line.pop("timestamp"))
    assert instant.utcoffset() == UTC.utcoffset(None)
    assert line == {
        "event": "charge.settled",
        "level": "info",
        "charge": str(identity),
        "amount": 12_500,
        "seconds": 0.25,
        "surplus": False,
        "code": None,
        "price": "1.5",
    }


def test_json_tracebacks_stay_on_their_line() -> None:
    """A multi-line exception is one field, so that a line is always one event."""
    log, stream = _written("json")

    with suppress(RuntimeError):
        try:
            _fail("nothing secret")
        except RuntimeError:
            log.exception("payment.failed")
            raise

    line = _one(stream)
    assert line["event"] == "payment.failed"
    assert "KeyError: 'nothing secret'" in line["exception"]
    assert "RuntimeError: could not send nothing secret" in line["exception"]


def test_console_lines_are_for_people() -> None:
    """Event and keys on one line, without colour codes; tracebacks below as Python writes them."""
    log, stream = _written("console")

    log.info("charge.settled", amount=12_500)
    try:
        _fail("it")
    except RuntimeError:
        log.exception("payment.failed")

    text = stream.getvalue()
    assert "\x1b[" not in text
    assert "charge.settled" in text.splitlines()[0]
    assert "amount=12500" in text.splitlines()[0]
    assert "Traceback (most recent call last):" in text


def test_levels_are_obeyed_and_noisy_libraries_are_kept_down() -> None:
    """`info` hides debug lines, and other people's loggers speak up from warning on."""
    log, stream = _written(level="info")

    log.debug("charge.looked_at")
    logging.getLogger("urllib3.connectionpool").info("starting a connection")
    logging.getLogger("kombu").info("connected")
    assert stream.getvalue() == ""

    logging.getLogger("kombu").warning("connection lost")
    assert _one(stream)["event"] == "connection lost"


def test_configuring_again_writes_each_line_once() -> None:
    """A worker that configures its logs twice writes each line once."""
    _, first = _written()
    log, second = _written()

    log.info("charge.settled")

    assert first.getvalue() == ""
    assert _one(second)["event"] == "charge.settled"


def test_logs_go_to_stderr_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to the answer of a command."""
    logs.configure("json")

    structlog.get_logger(f"tests.{uuid4()}").info("charge.settled")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "charge.settled"


def test_scrubbing_a_long_text_takes_no_long_time() -> None:
    """Scrubbing a page of HTML from a proxy is fast."""
    for piece in ("a", "8", "0", "62", "a.", "a@", "+-", "://", ":/@", "0 8 ", "SK-"):
        text = piece * (60_000 // len(piece))
        assert len(scrub(text)) <= 4 * len(text)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_control_character_reaches_the_log(log_format: str) -> None:
    """A name, a message or a traceback neither moves a cursor nor forges a line."""
    evil = "\x1b[2J\x9b1m\u202e\ncharge.settled"
    log, stream = _written(log_format)

    log.warning("charge.declined", message=evil, short="\x1b[m", told={evil: [evil]})
    logging.getLogger("celery").warning("said %s", evil)
    try:
        _fail(f"it{evil}")
    except RuntimeError:
        log.exception("payment.failed")

    text = stream.getvalue()
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    before = text.partition("Traceback")[0]
    assert not any(line.startswith("charge.settled") for line in before.splitlines())
