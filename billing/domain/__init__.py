"""Decisions about money and time, as values: no I/O, no clock, no settings, no log."""
