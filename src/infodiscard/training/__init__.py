"""Training of networks and decoders, and compression."""
