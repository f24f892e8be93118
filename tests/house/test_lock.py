"""The lock file: everything pinned, every file known by its hash, and no place named."""

import json
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

PINNED = re.compile(
    r"^([a-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)


LOCKS = ("requirements.lock", "requirements-production.lock")


def without_comments(name: str) -> str:
    """A lock file without its comments."""
    return re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def lock() -> str:
    """The lock file of everything without its comments."""
    return without_comments("requirements.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_a_pin_with_hashes(name: str) -> None:
    """There is nothing in it but `name==version` and SHA-256 hashes."""
    assert PINNED.sub("", without_comments(name)).strip() == ""


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_place(name: str) -> None:
    """The installer chooses the package index: the lock file names no mirror's address."""
    text = (ROOT / name).read_text()

    assert re.findall(r"\S*://\S*|^-.*|\S+ @ \S+", text, re.MULTILINE) == []


def test_the_lock_satisfies_what_the_project_asks_for(lock: str) -> None:
    """Each dependency, of the extras too, is pinned to a version within its bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [Requirement(text) for text in sum(extras, start=project["dependencies"])]
    pins = {name: version for name, version, _ in PINNED.findall(lock)}

    assert {canonicalize_name(one.name) for one in asked} <= pins.keys()
    assert [
        str(one) for one in asked if pins[canonicalize_name(one.name)] not in one.specifier
    ] == []


def test_production_has_the_same_pins_and_no_tool(lock: str) -> None:
    """The smaller lock has every dependency of production as the other pins it, and no extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    small = PINNED.findall(without_comments("requirements-production.lock"))
    names = {name for name, _, _ in small}

    assert set(small) <= set(PINNED.findall(lock))
    assert {canonicalize_name(Requirement(one).name) for one in project["dependencies"]} <= names
    assert not {canonicalize_name(Requirement(one).name) for one in extras} & names


def test_each_dependency_is_named_once() -> None:
    """A bound that is changed in one place is changed everywhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    names = [
        canonicalize_name(Requirement(text).name)
        for text in sum(extras, start=project["dependencies"])
    ]

    assert sorted(names) == sorted(set(names))


def test_each_npm_package_is_a_pin_with_a_hash_and_no_place() -> None:
    """What the tests take from npm is exact, known by its hash, and from the index of the user."""
    folder = ROOT / "tests/browser"
    asked = json.loads((folder / "package.json").read_text())["devDependencies"]
    found = json.loads((folder / "package-lock.json").read_text())["packages"]
    pins = {name.removeprefix("node_modules/"): one for name, one in found.items() if name}

    assert {name: one["version"] for name, one in pins.items()} == asked
    assert all(one["integrity"].startswith("sha512-") for one in pins.values())
    assert all("resolved" not in one for one in pins.values())
