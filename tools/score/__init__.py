"""Scores: what the estimates say against what was measured. Run as ``python -m tools.score memory FILE…``."""
