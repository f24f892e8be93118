"""What operators and the engine's own upkeep need: limits, import, held rows, the test clock."""
