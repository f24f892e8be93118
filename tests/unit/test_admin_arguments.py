"""Admin tasks accept JSON values of the exact type only."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet

from billing.domain.errors import InvalidValue
from workers import arguments

ID = "0b1f2a46-6c6c-5387-b249-6df627cf0474"


class Colour(StrEnum):
    """Some choice."""

    RED = "red"


BAD: dict[Any, list[object]] = {
    int: [True, False, "5", 5.0, 1e3, 10**30, -(10**30), [5], {"a": 1}, None],
    bool: [1, 0, "true", "yes", None, []],
    str: [1, True, 1.5, [], {}, None, "a\x00b", "\x1b[2J", "a\nb", "\ud800"],
    UUID: [
        1, True, None, [], "no-id", "", ID.replace("-", ""), "{" + ID + "}", f"urn:uuid:{ID}",
        ID + "\n", " " + ID, ID + "\x00",
    ],
    Colour: ["RED", "blue", "", 1, True, None, ["red"]],
    datetime: [
        0, 1, 1.5, True, None, [], "0", "1767225600", "", "soon", "2026-01-31", "2026-W05-6T09:00",
        "2026-02-30T09:00:00+07:00", "2026-13-01T09:00:00Z", "2026-01-31T25:00:00Z",
        "2026-01-31T09:00:00", "0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00",
        "1970-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-01-31T09:00:00+99:00",
        "2026-01-31T09:00:00+07:00\x00", "٢٠٢٦-٠١-٣١T٠٩:٠٠:٠٠Z",
    ],
}  # fmt: skip
GOOD: list[tuple[Any, object, object]] = [
    (int, 5, 5),
    (int, 0, 0),
    (bool, True, True),
    (str, "Zoë می‌خواهم", "Zoë می‌خواهم"),
    (UUID, ID, UUID(ID)),
    (UUID, ID.upper(), UUID(ID)),
    (Colour, "red", Colour.RED),
    (datetime, "2026-01-31T09:00:00+07:00", datetime(2026, 1, 31, 2, tzinfo=UTC)),
    (datetime, "2026-01-31 02:00Z", datetime(2026, 1, 31, 2, tzinfo=UTC)),
    (int | None, None, None),
    (datetime | None, None, None),
]
WORK = """
import json, sys
from billing.domain.errors import InvalidValue
from workers import admin, arguments
def never():
    raise SystemExit("a service was reached")
admin.context = never
OURS = {"reason": str, "idempotency_key": str}
def parts(kind):
    return getattr(kind, "__args__", (kind,))
def word(kind):
    return next(part for part in parts(kind) if part is not type(None)).__name__
good, bad = json.load(sys.stdin)
refused = []
for name, task in sorted(admin.app.tasks.items()):
    if not name.startswith("admin."):
        continue
    kinds = arguments.names(task.run.__wrapped__, frozenset({"by", "request"}))
    kinds |= OURS
    for wrong, kind in kinds.items():
        fine = {argument: good[word(its)] for argument, its in kinds.items()}
        for value in bad[word(kind)]:
            if value is None and (type(None) in parts(kind) or wrong in OURS):
                continue
            if wrong == "reason" and value == "a\\nb":
                continue
            made = task.apply(kwargs=fine | {wrong: value})
            assert isinstance(made.result, InvalidValue), (name, wrong, value, made.result)
            assert str(made.result).startswith(wrong), (name, wrong, str(made.result))
            assert len(str(made.result).splitlines()) == 1, str(made.result)
            refused.append([name, wrong])
print(json.dumps(refused))
"""


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in BAD.items() for value in values]
)
def test_an_argument_of_the_wrong_type_or_impossible_is_refused_in_one_line(
    kind: Any, value: object
) -> None:
    """The line names the argument; `true` is no 1, "5" no number, 0 no date, 30 February no day."""
    with pytest.raises(InvalidValue, match=r"^it ") as refused:
        arguments.read({"it": kind}, {"it": value})

    assert str(refused.value).isprintable()


@pytest.mark.parametrize(("kind", "value", "meant"), GOOD)
def test_valid_json_values_are_accepted(kind: Any, value: object, meant: object) -> None:
    """Text, whole numbers, ids, instants and choices; null for an optional argument."""
    assert arguments.read({"it": kind}, {"it": value}) == {"it": meant}


def test_every_task_refuses_every_wrong_value_of_every_argument() -> None:
    """The whole table, by the tasks themselves; no service is reached."""
    names = {"RefundPolicy" if kind is Colour else kind.__name__: kind for kind in BAD}
    bad = {name: [v for v in BAD[kind] if v != "\ud800"] for name, kind in names.items()}
    good = {
        "str": "x", "int": 1, "bool": True, "UUID": ID, "RefundPolicy": "none",
        "datetime": "2026-01-31T09:00:00Z",
    }  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"],
        "BILLING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "BILLING_REDIS_URL": "redis://127.0.0.1:1/0",
        "BILLING_TOKEN_KEY": Fernet.generate_key().decode(),
        "BILLING_LOG_LEVEL": "error",
    }

    done = subprocess.run(
        [sys.executable, "-c", WORK], input=json.dumps([good, bad]), env=environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) > 300
