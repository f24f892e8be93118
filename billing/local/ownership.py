"""Which user owns the embedded PostgreSQL's files, because it refuses to run as root.

Started by an ordinary user it runs as that user. Started by root it runs as an existing
unprivileged user; no user is created and no folder's permissions are widened.
"""

import os
import pwd
from pathlib import Path

from billing.domain.errors import NotConfigured
from billing.local.processes import User

UNPRIVILEGED = ("postgres", "nobody")


def user_for(folder: Path, programs: Path) -> User | None:
    """Return the user of PostgreSQL: the owner of its data, or the first unprivileged user found.

    None means the current user.
    """
    mine = os.geteuid()
    if mine != 0:
        if folder.exists() and folder.stat().st_uid != mine:
            raise NotConfigured(f"{folder} belongs to another user; set BILLING_HOME")
        return None
    entry = _owner(folder) if folder.exists() else _unprivileged()
    reach = not (_open_to_all(folder.resolve().parent) and _open_to_all(programs))
    return User(entry.pw_uid, entry.pw_gid, reach)


def owner_of_new_files(folder: Path, user: User | None) -> None:
    """Give a new folder to the user that PostgreSQL runs as."""
    if user is not None:
        os.chown(folder, user.uid, user.gid)


def _owner(folder: Path) -> pwd.struct_passwd:
    owner = folder.stat().st_uid
    try:
        if owner != 0:
            return pwd.getpwuid(owner)
    except KeyError:
        pass
    raise NotConfigured(f"{folder} belongs to uid {owner}, as whom PostgreSQL cannot run")


def _unprivileged() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NotConfigured(
        f"PostgreSQL does not run as root and there is no user {' or '.join(UNPRIVILEGED)}"
    )


def _open_to_all(folder: Path) -> bool:
    """Whether every user may enter the folder."""
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents) if step.exists())
