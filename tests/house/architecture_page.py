"""The parts of the page of the architecture that are made from the code.

`python -m tests.house.architecture_page` renews them in docs/architecture.md.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.house.charge_path import PATH, STEPS
from tests.house.tree import PACKAGES, ROOT, modules

PAGE = ROOT / "docs" / "architecture.md"
SERVICES = "billing/services"
OF_SERVICES = tuple(
    path.name for path in sorted((ROOT / SERVICES).iterdir()) if (path / "__init__.py").exists()
)
WIDTH = 76


def page(text: str) -> str:
    """The page with its made parts as the code has them now; the rest of it stays."""
    made = {"picture": _picture, "imports": _imports, "services": _services, "path": _path}
    for name, lines in made.items():
        begin, end = f"<!-- made: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "\n".join((before + begin, *lines(), end + after))
    return text


def layers() -> list[list[str]]:
    """The layers of the import contract, the highest first, each with its packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    [layered] = [contract for contract in contracts if contract["type"] == "layers"]
    return [layer.split(" | ") for layer in layered["layers"]]


def units() -> list[str]:
    """The packages and modules of the picture, the longest names first."""
    inside = [f"billing.services.{name}" for name in (*OF_SERVICES, "context")]
    beside = [
        f"billing.{path.stem}"
        for path in sorted((ROOT / "billing").iterdir())
        if path.suffix == ".py" or (path / "__init__.py").exists() or (path / "cli").exists()
        if path.stem != "__init__"
    ]
    named = {*inside, *beside, *PACKAGES} - {"billing", "billing.services"}
    return sorted(named, key=len, reverse=True)


def imported() -> dict[str, set[str]]:
    """Return which packages and modules of the picture import each other, read from the code."""
    known = units()
    found: dict[str, set[str]] = {unit: set() for unit in known}
    for module in modules(*PACKAGES):
        path = Path(module.name).with_suffix("")
        name = ".".join(path.parts).removesuffix(".__init__")
        if unit := _unit(name, known):
            found[unit] |= {other for each in _names(module.tree) if (other := _unit(each, known))}
            found[unit].discard(unit)
    return found


def _unit(name: str, known: list[str]) -> str | None:
    return next((unit for unit in known if f"{name}.".startswith(f"{unit}.")), None)


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _picture() -> Iterator[str]:
    edge = "+" + "-" * WIDTH + "+"
    yield "```text"
    for number, layer in enumerate(layers()):
        yield "|".center(WIDTH + 2).rstrip() if number else edge
        if number:
            yield "v".center(WIDTH + 2).rstrip()
            yield edge
        yield f"|{'   '.join(layer).center(WIDTH)}|"
        if "billing.services" in layer:
            yield f"|{('services: ' + ', '.join(OF_SERVICES)).center(WIDTH)}|"
        yield edge
    yield "```"


def _imports() -> Iterator[str]:
    yield "| package or module | imports |"
    yield "|---|---|"
    for unit, others in sorted(imported().items()):
        words = ", ".join(f"`{other}`" for other in sorted(others)) or "nothing of ours"
        yield f"| `{unit}` | {words} |"


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def files_of_services() -> dict[str, list[Path]]:
    """The modules of each group of services; those in no group are under an empty name."""
    folders = {"": ROOT / SERVICES} | {name: ROOT / SERVICES / name for name in OF_SERVICES}
    return {
        name: [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        for name, folder in folders.items()
    }


def _services() -> Iterator[str]:
    for name, files in files_of_services().items():
        about = (
            first_line(ROOT / SERVICES / name / "__init__.py") if name else "Used by all groups."
        )
        yield ""
        yield f"### `{'/'.join(filter(None, (SERVICES, name)))}`"
        yield ""
        yield about
        yield ""
        yield "| file | what it does |"
        yield "|---|---|"
        yield from (f"| `{path.name}` | {first_line(path)} |" for path in files)


def _path() -> Iterator[str]:
    numbers = {step: number for number, step in enumerate(STEPS, 1)}
    for part in PATH:
        yield ""
        yield f"**{part.title}**"
        yield ""
        for step in part.steps:
            yield f"{numbers[step]}. `{step.function}` in `{step.file}`: {step.does}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
