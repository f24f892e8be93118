"""What is in the wheel: packages, their types, and the files that are no Python."""

from hatchling.builders.wheel import WheelBuilder

from tests.house.tree import PACKAGES, ROOT


def test_wheel_ships_the_types() -> None:
    """A program that imports the engine is checked against its types (PEP 561)."""
    included = WheelBuilder(str(ROOT)).recurse_included_files()
    shipped = {file.distribution_path for file in included}

    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped
    assert "billing/store/migrations/script.py.mako" in shipped
