"""Runs everything with whatever `import torch` gives: `python -m tests.programs OUT.npz [--minidl]`.

--minidl: minidl in PyTorch's place. Numbers go to OUT.npz; what was raised stands there as text.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

if "--minidl" in sys.argv:
    from minidl import compat

    compat.install()
warnings.simplefilter("ignore")

from . import models, optimizers  # noqa: E402

PACKAGES = "pytorch_optimizer torch_optimizer lion_pytorch".split()
results = models.tried()
for package in PACKAGES:
    results |= optimizers.tried(package)
np.savez(sys.argv[1], **{name: np.array(value) for name, value in results.items()})
print(f"{len(results)} programs, {sum(isinstance(v, str) for v in results.values())} raised")
