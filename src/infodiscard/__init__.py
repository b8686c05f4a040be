"""How much information about its input a neural network discards, layer by layer and pixel by pixel."""
