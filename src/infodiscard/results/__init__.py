"""Stored runs: their plan, arrays, places and locks."""
