"""The fault campaign: the deployed stack under load while AWS, the providers and the functions fail.

It stands beside the demo and not among the tests: it is a run of minutes with a report at its end, and it shares the
stack and the simulators with `local`. What decides, such as the invariants, is pure and has tests of its own.
"""
