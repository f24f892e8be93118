"""Scripted faults: their kinds, their effects, and the requests that they apply to."""
