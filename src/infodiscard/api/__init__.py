"""The public functions, and the `Run` that users hold."""
