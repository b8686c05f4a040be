"""What runs say: statistics, comparisons, the gate, and attribution maps beside them."""
