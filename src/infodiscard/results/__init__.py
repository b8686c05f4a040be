"""Stored runs: their plan, arrays and places."""
