"""The quantities that can be measured."""
