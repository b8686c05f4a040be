"""Torture test of the solver: random small networks, and a judge that knows nothing of how their σ was found."""
