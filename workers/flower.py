"""Flower where others can reach it: `celery -A workers.flower flower`, with every page closed.

Flower's basic auth leaves `/metrics` and `/healthcheck` open (2.2: handlers without
`authenticated`); they are closed here. It knows nothing of tasks.
"""

import os
import re
import sys

from flower.views import monitor  # type: ignore[import-untyped]  # flower has no types
from tornado.web import authenticated

from workers.app import app

__all__ = ["app"]

# An empty name or password, or a comma too many, would let strangers in.
_logins = os.environ.get("FLOWER_BASIC_AUTH", "").split(",")
if not all(re.fullmatch("[^:]+:.+", login) for login in _logins):
    sys.exit("billing: FLOWER_BASIC_AUTH must be name:password, or several, comma-separated")

for _page in (monitor.Metrics, monitor.Healthcheck):
    _page.get = authenticated(_page.get)
