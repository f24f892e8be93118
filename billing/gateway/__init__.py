"""DOKU's OVO Recurring API, as calls that return outcomes; nothing else knows its words."""
