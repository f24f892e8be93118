"""A recurring-charge engine for DOKU's OVO Recurring API."""
