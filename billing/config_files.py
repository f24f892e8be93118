"""Files of settings: read variables from the environment and from files such as `.env`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

OWN = Path(".env")


def values_of(files: Sequence[Path]) -> dict[str, str]:
    """Read variables from the environment and from files, of which the last is the strongest.

    An empty variable counts as missing. This is what pydantic-settings does; loading it took a
    tenth of a short command's time. Raises OSError or UnicodeDecodeError for a file.
    """
    given: dict[str, str] = {}
    for file in files:
        if file.is_file():
            given |= {name.upper(): value for name, value in _read(file).items() if value}
    return given | {name.upper(): value for name, value in os.environ.items() if value}


def names() -> set[str]:
    """Return the names of the environment, and of `.env` in the working folder."""
    try:
        return {*os.environ, *_read(OWN, interpolate=False)}
    except (OSError, UnicodeDecodeError):
        return set(os.environ)


def _read(path: Path, *, interpolate: bool = True) -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(path, interpolate=interpolate, encoding="utf-8")


def one_line(invalid: "ValidationError", prefix: str) -> str:
    """Describe all mistakes in one line, each with the name of its variable, without values."""
    problems = []
    for error in invalid.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in error["loc"][:1])
        message = error["msg"].removeprefix("Value error, ")
        problems.append(f"{prefix}{name.upper()}: {message}" if name else message)
    return "; ".join(problems)
