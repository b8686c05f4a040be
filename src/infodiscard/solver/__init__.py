"""The solver: the optimal noise of a layer, and what its entropy is worth."""
