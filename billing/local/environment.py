"""Converts settings to environment variables and back, and writes the local stack's files.

It knows how a setting is written, not what it means.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError

from billing.config import Settings
from billing.domain.errors import NotConfigured

PREFIX = "BILLING_"
PASSWORD_BYTES = 15


def overlay(settings: Settings, changes: Mapping[str, str]) -> Settings:
    """Return the settings with some environment variables applied; unknown ones are ignored."""
    fields = settings.model_dump()
    for name, value in changes.items():
        field = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and field in Settings.model_fields:
            fields[field] = json.loads(value) if field == "faults" else value
    try:
        return Settings(**fields)
    except ValidationError as invalid:
        error = invalid.errors(include_input=False, include_url=False)[0]
        name = "".join(f"{PREFIX}{part}: ".upper() for part in error["loc"][:1])
        raise NotConfigured(name + error["msg"].removeprefix("Value error, ")) from None


def as_environment(settings: Settings) -> dict[str, str]:
    """Return every setting that has a value as an environment variable."""
    written = {name: _written(getattr(settings, name)) for name in Settings.model_fields}
    return {f"{PREFIX}{name.upper()}": value for name, value in written.items() if value}


def for_children(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with exactly these settings, without its own or a `.env` file's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {name: value for name, value in extra.items() if not name.startswith(PREFIX)}
    return inherited | ours | as_environment(settings)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def write_env_file(path: Path, settings: Settings) -> None:
    """Write the settings to the file that `billing` commands in another terminal read."""
    lines = ["# Written by `billing up`, and removed when it ends."]
    for name, value in as_environment(settings).items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}='{quoted}'")
    write_private(path, "\n".join(lines) + "\n")


def kept_token_key(path: Path) -> str:
    """Return the Fernet key of the file, made once: stored tokens cannot be read without it."""
    return _kept(path, lambda: Fernet.generate_key().decode())


def kept_password(path: Path) -> str:
    """Return the password of the file, made once, so that a browser may store it."""
    return _kept(path, lambda: secrets.token_urlsafe(PASSWORD_BYTES))


def _kept(path: Path, make: Callable[[], str]) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = make()
        write_private(path, made + "\n")
        return made


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)
