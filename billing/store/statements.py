"""Statements as text: each is parsed once."""

from functools import cache

import sqlalchemy

text = cache(sqlalchemy.text)
"""`sqlalchemy.text` with a cache; this package has few texts, and none contains a value."""
