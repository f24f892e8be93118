"""DOKU's OVO Recurring API, as calls that return outcomes; only this package has DOKU's names."""
