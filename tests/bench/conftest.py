"""Fixtures of the smallest benchmark: its programs are forked."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _forked(programs_are_forked: None) -> None:
    """Nothing is compared here; `make bench` starts workers and beats as users do."""
