"""Decide, purely; explain; learn.

`request` declares every argument, `planner` decides by `rules`, `scoring`, `fit` and `sizing`,
`explain` says what is not open; `history` learns `latency` and the state of `circuit_breaker`s.
"""
