"""Money of a charge moves in one place: no other module can write where it is."""

import ast
import re

from tests.house.tree import PACKAGES, Module, modules

MOVER = "billing/services/money/charge_money.py"
STATEMENTS = "billing/store/queries/conservation.py"
SETTLING = "billing/store/queries/settlements.py"
"""It writes what was taken, all of it kept, in the statement that settles charges."""
HISTORY = "billing/store/migrations/"
WRITES = re.compile(
    r"update\s+charges\b[^;]*?\b(kept|refunded|credited)\s*=(?!=)"
    r"|insert\s+into\s+(credits|refunds)\b"
    r"|update\s+credits\b[^;]*?\bpaid_out\s*=(?!=)"
    r"|update\s+credit_uses\b[^;]*?\breturned\s*=(?!=)",
    re.IGNORECASE | re.DOTALL,
)
BUILT = {"CREDITS", "REFUNDS"}
MOVING = {
    "write_split", "add_refund", "add_credit", "pay_out", "undo_pay_out", "return_uses",
}  # fmt: skip


def texts(module: Module) -> list[str]:
    """Return the texts of a module, each with the code between its parts."""
    return [
        "".join(
            part.value
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        )
        for node in module.nodes
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]


def engine() -> list[Module]:
    """The modules of the engine, without its migrations."""
    return [module for module in modules(*PACKAGES) if not module.name.startswith(HISTORY)]


def test_only_two_modules_write_where_money_is() -> None:
    """Settling keeps what was taken, and `conservation` has every statement that moves it."""
    writing = {
        module.name for module in engine() if any(WRITES.search(each) for each in texts(module))
    }
    built = {
        module.name
        for module in engine()
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "insert" and ast.unparse(node.args[0]) in BUILT
    }

    assert writing - {"billing/store/queries/balances.py"} == {STATEMENTS, SETTLING}
    assert built == {STATEMENTS}


def test_an_undone_invoice_is_all_that_balances_write() -> None:
    """A void invoice's used credit returns to its credits; no money of a charge moves there."""
    [balances] = [m for m in engine() if m.name == "billing/store/queries/balances.py"]
    found = [each for each in texts(balances) if WRITES.search(each)]
    assert len(found) == 1
    assert "returned = amount" in found[0]


def test_only_one_module_calls_the_functions_that_move_money() -> None:
    """Every feature that returns money calls `returns`, which adds up the parts."""
    calling = {
        module.name
        for module in engine()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and node.attr in MOVING
        if ast.unparse(node.value) == "conservation"
    }

    assert calling == {MOVER}


def test_the_parts_are_moved_by_one_function() -> None:
    """`write_split` is called in one place, after the check of the domain."""
    [mover] = [module for module in engine() if module.name == MOVER]
    writers = [
        function.name
        for function in ast.walk(mover.tree)
        if isinstance(function, ast.FunctionDef)
        and any(
            isinstance(node, ast.Attribute) and node.attr == "write_split"
            for node in ast.walk(function)
        )
    ]
    assert writers == ["move"]
