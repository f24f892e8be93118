"""The page of intents is the code's table, and one module writes what is planned."""

import ast

from tests.house.intents_page import page
from tests.house.tree import ROOT, modules

WRITTEN = {
    "cancel_at", "cancel_period", "pause_at", "pause_period", "resume_at", "change_at",
    "change_period", "next_plan_code", "next_quantity", "next_amount",
}  # fmt: skip
WRITER = "billing/services/subscriptions/intents.py"


def test_the_page_of_intents_is_the_table_of_the_code() -> None:
    """Write it again with: python -m tests.house.intents_page > docs/intents.md."""
    assert (ROOT / "docs/intents.md").read_text() == page()


def test_only_one_module_writes_intents() -> None:
    """No other service names a column of an intent in a statement that changes a subscription."""
    found = [
        module.at(node, keyword.arg or "")
        for module in modules("billing")
        if module.name.startswith("billing/services/") and module.name != WRITER
        for node in module.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "subscriptions.change"
        for keyword in node.keywords
        if keyword.arg in WRITTEN
    ]

    assert found == []
