"""The page and the table of event kinds are complete."""

import ast
import re

from billing.domain.event_kinds import KINDS
from billing.services.webhooks.payloads import TEST
from tests.house.events_page import page
from tests.house.test_glossary import DOTTED, constants, made_names
from tests.house.tree import ROOT, modules

WRITING = ("billing/domain", "billing/services", "billing/store")
NOUNS = {kind.partition(".")[0] for kind in KINDS}
TABLE = "billing/domain/event_kinds.py"


def logged() -> set[str]:
    """The names of log lines, which look like kinds of events."""
    return {
        node.args[0].value
        for module in modules("billing")
        for node in module.nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) in {"log", "_log"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def written() -> set[str]:
    """Texts of the code that look like a kind of one of these nouns."""
    return {
        node.value
        for module in modules(*WRITING)
        if "/migrations/" not in module.name and module.name != TABLE
        for node in module.nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and DOTTED.fullmatch(node.value)
        and node.value.partition(".")[0] in NOUNS
    }


def test_the_page_of_events_is_the_table_of_the_code() -> None:
    """Write it again with: python -m tests.house.events_page > docs/events.md."""
    assert (ROOT / "docs/events.md").read_text() == page()


def test_every_kind_in_the_code_is_in_the_table() -> None:
    """A new kind gets a line; names of log lines and of columns are no kinds."""
    columns = {"customer.id", "customer.name", "refund.amount", "refund.reason"}

    assert written() - logged() - columns - {TEST} <= KINDS.keys()


def test_every_kind_in_the_table_is_in_the_code() -> None:
    """Written as it is, in a statement, or put together from words of the code."""
    sql = " ".join(module.text for module in modules("billing/store"))
    words, patterns = constants(), made_names()

    def is_made(kind: str) -> bool:
        found = (re.fullmatch(like, kind) for like in patterns)
        return any(each and set(each.groups()) <= words for each in found)

    found = written()
    assert [
        kind for kind in KINDS if kind not in found and f"'{kind}'" not in sql and not is_made(kind)
    ] == []
