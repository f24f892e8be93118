"""HTTP: what other programs call."""
