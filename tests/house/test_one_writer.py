"""The status of a subscription is written by one function, once the subscription is there."""

import ast
import re
from collections.abc import Iterator
from typing import get_type_hints

import pytest

from billing.store.queries.subscription_rows import Changes, Standing
from tests.house.tree import PACKAGES, Module, modules

QUERIES = "billing/store/queries/subscriptions.py"
_SET = re.compile(
    r"\bUPDATE\s+subscriptions\b(.*?)(?:\bWHERE\b|\bFROM\b|\Z)", re.DOTALL | re.IGNORECASE
)
_STATUS = re.compile(r"\bstatus\s*=", re.IGNORECASE)


def texts(module: Module) -> Iterator[str]:
    """Every text in the code; of one with parts that are computed, the others in their order."""
    for node in module.nodes:
        if isinstance(node, ast.JoinedStr):
            yield " ".join(part.value for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def writes(module: Module) -> list[str]:
    """The statements of a module that can write the status of a subscription."""
    found = set()
    for setting in [part for text in texts(module) for part in _SET.findall(text)]:
        if _STATUS.search(setting):
            found.add(f"{module.name}: SQL")
        elif "=" not in setting:
            found.add(f"{module.name}: columns that are computed")
    for node in module.nodes if "SUBSCRIPTIONS" in module.text else ():
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in ast.walk(node):
            said = ast.unparse(call) if isinstance(call, ast.Call) else ""
            if re.match(r"(\w+\.)?update\((\w+\.)?SUBSCRIPTIONS\b|(\w+\.)?SUBSCRIPTIONS\.update\(",
                        said):  # fmt: skip
                found.add(f"{module.name}: {node.name}")
    return sorted(found)


def test_the_status_of_a_subscription_has_one_writer() -> None:
    """`move` does; `change`, the other statement that writes columns, does not take a status."""
    code = [m for m in modules(*PACKAGES) if "/migrations/" not in m.name]
    found = [write for module in code for write in writes(module)]

    assert found == [f"{QUERIES}: SQL", f"{QUERIES}: columns that are computed"]
    assert "status" in Standing._fields
    assert not set(get_type_hints(Changes)) & {"status", "ended_at", "trial_left_seconds"}


@pytest.mark.parametrize("code", [
    'text("UPDATE subscriptions SET amount = 1, status = :status WHERE id = :id")',
    'text(f"update subscriptions s SET {more}, status = n.status FROM n")',
    'text(f"UPDATE subscriptions SET {places} WHERE id = :id")',
    "def write(): connection.execute(update(SUBSCRIPTIONS).values(status=1))",
    "def write(): connection.execute(tables.SUBSCRIPTIONS.update().values(status=1))",
])  # fmt: skip
def test_a_second_writer_is_found(code: str) -> None:
    """By a statement as text, or by one that is built."""
    assert writes(Module("a.py", code, ast.parse(code)))


@pytest.mark.parametrize("code", [
    'text("UPDATE subscriptions SET first_paid_at = :now WHERE status = :status")',
    'text("UPDATE invoices SET status = :status WHERE id = :id")',
])  # fmt: skip
def test_a_statement_that_only_reads_the_status_is_no_writer(code: str) -> None:
    """And neither is one about another table."""
    assert writes(Module("a.py", code, ast.parse(code))) == []
