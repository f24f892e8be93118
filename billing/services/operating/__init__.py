"""Operator commands and upkeep: limits, import, held rows, the test clock."""
