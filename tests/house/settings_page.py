"""The page of settings, made from the fields of `billing/config.py`.

Renew it with `python -m tests.house.settings_page > docs/settings.md`.
"""

import sys
from collections.abc import Iterator
from typing import get_args

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from billing.config import PREFIX, Settings

HEAD = """# Settings

This page is generated from `billing/config.py`. To renew it:
`python -m tests.house.settings_page > docs/settings.md`.

Settings are read once, when a process starts. The sources, the strongest first:

1. the environment;
2. the file `.env` in the working folder (`.env.example` is a template);
3. `stack.env` in the folder of `BILLING_HOME`, which a running `billing up` writes. So a second
   terminal finds the local stack.

A wrong value stops the start with one line that names the setting and says what is right. A
variable that begins with `BILLING_` and is not a setting is reported by `billing doctor` and in the
log of a worker. An empty variable counts as not set.

"""


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(_rows()) + "\n"


def default(field: FieldInfo) -> str:
    """A setting's default as text; empty when there is none."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(int(value))
    return "" if value in (None, "", {}) else str(value)


def allowed(field: FieldInfo) -> str:
    """The values that a setting may have: a range, or a list; empty when its format says it."""
    if field.annotation is bool:
        return "`0`, `1`"
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in choices)
    limits = field.metadata
    least = [f"{each.ge}" for each in limits if isinstance(each, Ge)]
    above = [f"above {each.gt}" for each in limits if isinstance(each, Gt)]
    most = [f"{each.le}" for each in limits if isinstance(each, Le)]
    return " to ".join(least + above + most)


def _rows() -> Iterator[str]:
    yield "| setting | default | allowed | what it is |"
    yield "|---|---|---|---|"
    for name, field in Settings.model_fields.items():
        shown = default(field)
        shown = f"`{shown}`" if shown else "–"
        about = field.description or ""
        yield f"| `{PREFIX}{name.upper()}` | {shown} | {allowed(field) or '–'} | {about} |"


if __name__ == "__main__":
    sys.stdout.write(page())
