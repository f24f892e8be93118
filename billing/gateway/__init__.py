"""DOKU's OVO Recurring API, as calls that return outcomes. No other package knows DOKU's words."""
