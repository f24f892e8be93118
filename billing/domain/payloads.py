"""Payloads: the JSON of events and commands: an event's data, a command's arguments and answer.

It does not know their keys: the writer and the reader of a payload agree on them.
"""

from collections.abc import Mapping

Json = Mapping[str, object]
"""A JSON object: texts, numbers, booleans, lists and objects by name."""
