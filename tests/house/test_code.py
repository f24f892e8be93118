"""How the code reads, as far as a machine can tell."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import PACKAGES, Module, modules

LINES_MAX = 400
FUNCTION_LINES_MAX = 70

NAMELESS = ("it", "one", "they", "what", "whatever", "who", "whoever")
"""With what a test's name does not begin: a reader of the name alone asks which one it is about."""

# Alembic writes these in its own form, and one that was released is never edited.
GENERATED = "billing/store/migrations/versions/"


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def importers(package: str) -> set[str]:
    """The modules that import a package."""
    return {module.name for module in modules(*PACKAGES) if package in _imported(module)}


def _imported(module: Module) -> set[str]:
    names: list[str] = []
    for node in module.nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return {name.partition(".")[0] for name in names}


def _floats(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Name) and node.id == "float":
            yield module.at(node, "float")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield module.at(node, repr(node.value))


def _uses(module: Module, names: set[str]) -> bool:
    last = {name.rpartition(".")[2] for name in names}
    attributes = (node for node in module.nodes if isinstance(node, ast.Attribute))
    return any(node.attr in last and ast.unparse(node) in names for node in attributes)


def test_no_module_is_too_long() -> None:
    """A module has at most 400 lines."""
    lengths = {module.name: len(module.text.splitlines()) for module in modules(*PACKAGES, "tests")}

    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    """A function has at most 70 lines, its docstring among them."""
    too_long = [
        module.at(function, function.name)
        for module in modules(*PACKAGES, "tests")
        if not module.name.startswith(GENERATED)
        for function in functions(module)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert too_long == []


def test_every_module_says_what_it_is_for() -> None:
    """A module that has anything in it opens with at least one sentence."""
    silent = [
        module.name
        for module in modules(*PACKAGES, "tests")
        if module.tree.body and not module.name.startswith(GENERATED)
        if "." not in (ast.get_docstring(module.tree) or "")
    ]

    assert silent == []


def test_every_test_states_its_promise() -> None:
    """A test function has a docstring."""
    silent = [
        module.at(function, function.name)
        for module in modules("tests")
        for function in functions(module)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert silent == []


def test_every_test_names_its_subject() -> None:
    """The name of a test begins with its subject: `test_a_link_is_polled`, not `test_it_is_…`."""
    nameless = [
        module.at(function, function.name)
        for module in modules("tests")
        for function in functions(module)
        if function.name.startswith(tuple(f"test_{word}_" for word in NAMELESS))
    ]

    assert nameless == []


def test_no_float_is_near_money_or_dates() -> None:
    """The domain and the calendar know no float; beat's seconds are Celery's to read."""
    found = [
        place
        for module in modules("billing/domain", "schedules")
        if module.name != "schedules/beat.py"
        for place in _floats(module)
    ]

    assert found == []


def test_croniter_is_known_to_the_calendar_only() -> None:
    """What croniter does in a fold, and on the 31st, is dealt with in one place."""
    assert importers("croniter") == {"schedules/calendar.py"}


def test_requests_is_known_to_the_transport_only() -> None:
    """Whether a request was sent or not is judged in one place."""
    assert importers("requests") == {"billing/gateway/transport.py"}


def test_the_time_is_asked_in_one_place() -> None:
    """Elsewhere `now` is a parameter; the sandbox has a clock of its own."""
    names = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.sleep"}
    asking = {module.name for module in modules(*PACKAGES) if _uses(module, names)}

    assert asking == {"billing/clock.py", "billing/sandbox/state/clock.py"}


def test_only_the_doors_to_people_print() -> None:
    """What the engine has to say is an event or a log line."""
    printing = [
        module.at(node)
        for module in modules(*PACKAGES)
        if not module.name.startswith(("billing/cli/", "billing/local/"))
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print"
    ]

    assert printing == []


def test_every_engine_is_told_of_the_pooler() -> None:
    """A connection that does not know of it would be refused by it, or prepare statements."""
    wanted = {
        "Database",
        "migrate.upgrade",
        "migrate.status",
        "plain_engine",
        "session.plain_engine",
    }
    calls = (
        (module, node)
        for module in modules("billing", "workers")
        for node in module.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) in wanted
    )

    assert [
        module.at(node)
        for module, node in calls
        if "pooler" not in {keyword.arg for keyword in node.keywords}
    ] == []
    every = list(modules("billing", "workers"))
    makers = [module.name for module in every if "create_engine(" in module.text]
    assert makers == ["billing/store/session.py"]


def test_flower_knows_every_admin_task_by_name() -> None:
    """It imports none of them; a task that is added is added there."""
    texts = {module.name: module.text for module in modules("workers")}
    made = re.findall(r'@admin_task\("([a-z_.]+)"\)', "".join(texts.values()))
    known = re.findall(r'^    "(admin\.[a-z_]+)",$', texts["workers/flower.py"], re.MULTILINE)

    assert made
    assert known == sorted(made)
