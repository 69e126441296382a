"""Properties of tests that are added up at the end of a run."""

POINTS = "points tried"
"""At which a process died or a call failed."""

COUNTED = "attacks tried"
