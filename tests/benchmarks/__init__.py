"""Benchmarks beside PyTorch, `python -m tests.benchmarks`: each framework runs the same source in its own process."""
