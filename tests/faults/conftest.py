"""The engine of the integration tests, for the faults that need no processes of their own."""

from tests.integration.conftest import engine, gateway, impatient

__all__ = ["engine", "gateway", "impatient"]
