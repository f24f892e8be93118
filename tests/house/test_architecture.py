"""The page of the architecture is the code's: imports, files of services, the path of a charge."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house import architecture_page
from tests.house.charge_path import STEPS, STEPS_MAX, Step
from tests.house.tree import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef
PAGES = (
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "SECURITY.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)  # fmt: skip
TEXT = architecture_page.PAGE.read_text()


def functions(file: str) -> dict[str, Function]:
    """The functions of a module by name; a method's name begins with its class."""
    found: dict[str, Function] = {}
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, Function):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            inside = (item for item in node.body if isinstance(item, Function))
            found |= {f"{node.name}.{item.name}": item for item in inside}
    return found


def named_in(function: Function) -> set[str]:
    """Every name and attribute that a function mentions."""
    nodes = list(ast.walk(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def reached_from(step: Step) -> set[str]:
    """What a function mentions, also by way of functions of its file that the path leaves out."""
    here = {name.rpartition(".")[2]: function for name, function in functions(step.file).items()}
    listed = {other.function.rpartition(".")[2] for other in STEPS if other.file == step.file}
    reached: set[str] = set()
    to_read = [functions(step.file)[step.function]]
    while to_read:
        new = named_in(to_read.pop()) - reached
        reached |= new
        to_read += [here[name] for name in new - listed if name in here]
    return reached


def is_task(step: Step) -> bool:
    """Whether a message starts this function."""
    decorators = functions(step.file)[step.function].decorator_list
    return any("app.task" in ast.unparse(decorator) for decorator in decorators)


def files_named(text: str) -> Iterator[str]:
    """The paths in code marks that look like files or folders of the tree."""
    roots = r"(?:billing|workers|schedules|tests|docs|\.ci)"
    yield from re.findall(rf"`({roots}/[\w./-]*)`", text)


def test_page_equals_code() -> None:
    """Renew it with: python -m tests.house.architecture_page."""
    assert TEXT.count("<!-- made: ") == TEXT.count("<!-- end: ") == 4
    assert architecture_page.page(TEXT) == TEXT


def test_service_list_equals_folder() -> None:
    """Each module of services has one line, and no line is about a file that is gone."""
    listed = re.findall(r"^\| `(\w+\.py)` \| \S.*\.? \|$", TEXT, re.MULTILINE)
    folder = [
        path.name for path in (ROOT / "billing/services").rglob("*.py") if path.stem != "__init__"
    ]

    assert sorted(listed) == sorted(folder)


def test_picture_holds_every_package() -> None:
    """A new top-level package or module of `billing` appears in the table of imports."""
    shown = set(architecture_page.imported())
    there = {
        f"billing.{path.stem}"
        for path in (ROOT / "billing").iterdir()
        if path.suffix == ".py" or any(path.glob("*.py"))
    } - {"billing.__init__", "billing.services"}

    assert there <= shown


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.file}:{step.function}")
def test_step_of_charge_path_exists(step: Step) -> None:
    """Each function that the path names is in the file that it names."""
    assert step.function in functions(step.file)


def test_charge_path_is_short() -> None:
    """At most 40 functions lie between the beat and the settled row, each named once."""
    assert len(STEPS) == len({(step.file, step.function) for step in STEPS}) <= STEPS_MAX


def test_charge_path_is_in_call_order() -> None:
    """Each function is a task, or an earlier function of the path leads to it."""
    reached: set[str] = set()
    unreached = []
    for number, step in enumerate(STEPS):
        if number and not is_task(step) and step.function.rpartition(".")[2] not in reached:
            unreached.append(step)
        reached |= reached_from(step)

    assert unreached == []


def test_files_to_read_first_are_eight() -> None:
    """A new reader starts with eight files; another test checks that they exist."""
    _, _, section = TEXT.partition("## The eight files to read first\n")
    files = re.findall(r"^[1-9]\. `([\w/]+\.py)`: ", section.partition("\n## ")[0], re.MULTILINE)

    assert len(set(files)) == 8


@pytest.mark.parametrize("name", PAGES)
def test_named_files_exist(name: str) -> None:
    """A file or folder that these pages name is in the tree."""
    text = (ROOT / name).read_text()

    assert [file for file in files_named(text) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_named_functions_exist(name: str) -> None:
    """What a page places in a file (`name` in `file`) is defined there."""
    places = re.findall(r"`([\w.]+)`\s+in\s+`([\w/]+\.py)`", (ROOT / name).read_text())

    assert [
        (what, file)
        for what, file in places
        if not re.search(
            rf"^\s*(?:def |class )?{what.rpartition('.')[2]}\b",
            (ROOT / file).read_text(),
            re.MULTILINE,
        )
    ] == []


@pytest.mark.parametrize("name", PAGES)
def test_named_tests_exist(name: str) -> None:
    """A test that these pages name is in the suite; one with a file is in that file."""
    text = (ROOT / name).read_text()
    there = {
        (str(path.relative_to(ROOT)), test)
        for path in (ROOT / "tests").rglob("test_*.py")
        for test in re.findall(r"^\s*def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", text))

    assert {
        (file, test)
        for file, test in named
        if not any(test == known and file in {"", place} for place, known in there)
    } == set()


def test_security_page_names_a_test_for_each_threat() -> None:
    """Every threat's defence names a test."""
    _, _, section = (ROOT / "SECURITY.md").read_text().partition("## Threats")
    lines = section.partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| threat")]

    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`test_\w+`", row)] == []
