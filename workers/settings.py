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
        # Required for every start; the servers that they name are checked when a process begins.
        _ = found.database, found.redis, found.token_keys
    except NotConfigured as mistake:
        sys.exit(f"billing: {escape(str(mistake))}")
    return found


settings = _settings()
