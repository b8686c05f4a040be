"""The paper's studies, one module each."""
