"""What runs a model: one module a program, each with an `open_…` function and a runtime."""
