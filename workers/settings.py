"""Load the settings of a worker or beat, or exit with one line that says what is wrong.

Import this module first, so that a wrong setting is reported before heavy modules are imported.
"""

import sys

from billing.config import Settings, load
from billing.domain.errors import NotConfigured
from billing.domain.escaping import escape


def _settings() -> Settings:
    try:
        found = load()
        # Nobody may start without these; what they name is tried when a process begins.
        _ = found.database, found.redis, found.token_keys
    except NotConfigured as mistake:
        sys.exit(f"billing: {escape(str(mistake))}")
    return found


settings = _settings()
