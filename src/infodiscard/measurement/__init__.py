"""Measuring: from networks and inputs to a filled run."""
