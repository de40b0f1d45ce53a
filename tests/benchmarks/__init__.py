"""Benchmarks beside PyTorch: `python -m tests.benchmarks`. Each framework runs the same source in a process of its own."""
