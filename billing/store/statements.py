"""Statements as text: parsed once, however often they are executed."""

from functools import cache

import sqlalchemy

text = cache(sqlalchemy.text)
"""What `sqlalchemy.text` returns; the texts of this package are few, and none has a value in it."""
