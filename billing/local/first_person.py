"""The first person of a local stack's console, with a password that is kept in a file."""

from pathlib import Path

from billing.domain.events import Actor
from billing.domain.people import Role
from billing.local.environment import kept_password
from billing.services.context import Context
from billing.services.operating import people

NAME = "admin"
PASSWORD = "console.password"  # the name of a file
BY = Actor("billing up")


def login(context: Context, home: Path) -> str:
    """Return name and password for the console, or where else to get them.

    The person is created only while there is none, so that one who was disabled stays disabled.
    """
    password = kept_password(home / PASSWORD)
    if people.is_nobody(context):
        people.create(context, NAME, Role.ADMIN, password, BY)
    if people.has_password(context, NAME, password):
        return f"{NAME} / {password}"
    return "log in with your own name; see: billing person list"
