"""Benchmarks: how fast the engine is beside what the same machine could do without it.

`make bench` compares, in one run, signed posts alone, a hand-written durable loop, and the engine.
`make bench-scale` looks at a million subscriptions, and at a payday. Nothing is set here that
production does not have.
"""
