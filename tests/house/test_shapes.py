"""Names of the HTTP interface and of `--json`: the same rule for every field of every answer."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from tests.house.openapi_page import document
from tests.house.tree import modules

NUMBERS = {
    "position", "period_index", "change_index", "attempt", "quantity", "next_quantity", "cycles",
    "percent", "shortfall", "status_code", "last_status_code", "status", "credit", "id", "event",
    "sequence",
}  # fmt: skip
"""Numbers that are neither counts nor amounts; limits end in `_max`."""
OF_STANDARD_WEBHOOKS = {"timestamp"}
"""Events have the names of that specification everywhere."""
SETTINGS = {"amount", "next_amount", "credit_balance"}
IDS = ("request_id",)  # the gateway's own word, and the word of the problem documents


def fields() -> list[tuple[str, str, dict[str, Any]]]:
    """Each field of each answer: its schema, its name, and what is said about it."""
    found = document()
    return [
        (schema, name, said)
        for schema, content in found["components"]["schemas"].items()
        if not schema.endswith("Body")
        for name, said in content.get("properties", {}).items()
    ]


def has(said: dict[str, Any], key: str, value: str) -> bool:
    """Whether a field, one of its alternatives, or the items of its list have this property."""
    inner = [*said.get("anyOf", ()), *([said["items"]] if "items" in said else ())]
    return said.get(key) == value or any(has(each, key, value) for each in inner)


def test_instants_end_in_at_and_nothing_else_does() -> None:
    """`until` and `since` are no names of fields."""
    wrong = [
        f"{schema}.{name}"
        for schema, name, said in fields()
        if has(said, "format", "date-time") != name.endswith("_at")
        and name not in OF_STANDARD_WEBHOOKS
    ]
    assert wrong == []


def test_a_number_is_a_count_an_amount_or_listed_here() -> None:
    """A count ends in `_count`, rupiah begin with `amount_`; a list is never a number."""
    wrong = [
        f"{schema}.{name}"
        for schema, name, said in fields()
        if has(said, "type", "integer")
        and not name.endswith(("_count", "_max", "_seconds"))
        and not name.startswith("amount_")
        and name not in NUMBERS | SETTINGS
    ]
    assert wrong == []


def test_an_id_is_named_by_its_noun() -> None:
    """`customer`, not `customer_id`; and a state's cause is `cause`, not `why`."""
    wrong = [
        f"{schema}.{name}"
        for schema, name, _ in fields()
        if name.endswith(("_id", "_why", "_ids")) and name not in IDS
    ]
    assert wrong == []


def test_every_row_of_money_names_its_customer() -> None:
    """An amount without its customer cannot be explained to anybody."""
    schemas = document()["components"]["schemas"]
    rows = ("Invoice", "InvoiceRow", "Charge", "ChargeRow", "ChargeInDetail", "Refund", "RefundRow",
            "Payment", "PaymentRow", "Credit", "SubscriptionRow", "UpcomingCharge")  # fmt: skip
    known = [name for name in rows if name in schemas]
    assert len(known) > 8
    assert [name for name in known if "customer" not in schemas[name]["properties"]] == []


OF_A_TERMINAL = re.compile(r"(^|[ (`])(--[a-z]|billing [a-z]+[ -][a-z]+)")
HINTS = ("hint", "remedy", "_TAKE_CANCEL_BACK", "_TAKE_PAUSE_BACK")
FOR_OPERATORS = (
    "refund_resolution.py", "charge_resolution.py", "token_keys.py", "exporting.py",
    "import_rows.py", "held_rows.py", "attention.py", "ways_out.py", "auditing.py",
    "web/__main__.py", "web/descriptions.py", "console/helping.py",
)  # fmt: skip
"""Modules that only commands call, and the tables of commands."""


def told(tree: ast.Module) -> Iterator[ast.Constant]:
    """Each text of a module, except docstrings and hints."""
    left_out = set[ast.AST]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg == "hint"):
            left_out.update(ast.walk(node.value) if isinstance(node, ast.keyword) else [node.value])
        if isinstance(node, ast.Assign):
            names = {each.id for each in ast.walk(node.targets[0]) if isinstance(each, ast.Name)}
            left_out.update(ast.walk(node.value) if names & {*HINTS} else ())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in left_out:
            yield node


def test_no_refusal_speaks_of_commands() -> None:
    """What is wrong is said for programs and people; the command that helps is the hint."""
    found = [
        module.at(each, str(each.value))
        for module in modules("billing/services", "billing/domain", "billing/web")
        if not module.name.endswith(FOR_OPERATORS)
        for each in told(module.tree)
        if OF_A_TERMINAL.search(str(each.value))
    ]
    assert found == []
