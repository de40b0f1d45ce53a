"""How long OpenBLAS's threads stay awake; imported before everything else.

Done with their part of a product, they ask for the next one for 2^21 ticks, about a millisecond, before they sleep.
With OpenBLAS's own 2^26 they take a core from the threads that share minidl's own kernels.
"""

import os
import sys
import threading

import threadpoolctl

_NAME = "OPENBLAS_THREAD_TIMEOUT"


def _begin_anew() -> None:
    """OpenBLAS reads the environment as it is now, and begins its threads anew with its next product.

    It reads it once, when it is loaded with NumPy. Its own functions do this, in a forked child for example; only
    where no other thread of Python can be within a product.
    """
    for found in threadpoolctl.ThreadpoolController().select(internal_api="openblas").lib_controllers:
        read, end = (getattr(found.dynlib, name, None) for name in ("openblas_read_env", "blas_thread_shutdown_"))
        if read and end and threading.active_count() == 1:
            read()
            end()


if _NAME not in os.environ:
    os.environ[_NAME] = "21"
    if "numpy" in sys.modules:
        _begin_anew()
