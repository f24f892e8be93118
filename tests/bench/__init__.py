"""Benchmarks: the engine's speed compared with what the same machine can do without it.

`make bench` compares, in one run, signed posts alone, a hand-written durable loop, and the engine.
`make bench-scale` measures a million subscriptions, and a payday. No setting here differs from
production's.
"""
