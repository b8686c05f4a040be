"""Kinds of input, and the metrics with the variables that a run holds of them."""
