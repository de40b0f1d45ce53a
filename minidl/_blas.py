"""What OpenBLAS reads when NumPy loads it, and therefore imported before everything else.

Its threads, done with their part of a product, ask for the next one for 2^21 ticks, about a millisecond, before they
sleep. With the default of 2^26 they take a core from the threads that share minidl's own kernels.
"""

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "21")
