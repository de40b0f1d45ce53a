"""What only a machine with an NVIDIA GPU can show: `python -m tests.gpu` runs it all and prints one report."""
