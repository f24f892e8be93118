"""Fixtures of the stories: their programs are forked."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _forked(programs_are_forked: None) -> None:
    """Workers and beats import once; `test_up.py` and `test_demo.py` start them as users do."""
