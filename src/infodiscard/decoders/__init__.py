"""Decoders: from the feature of a layer back to the input, and the cache of trained ones."""
