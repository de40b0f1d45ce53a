"""Training at many batch sizes: `python -m tests.benchmarks.sizes minidl SECONDS NAME ...`.

It prints a JSON object: workload -> batch size -> what `workloads` measures.
"""

from __future__ import annotations

import json
import sys

from .clock import framework
from .workloads import measure

SIZES = [16, 32, 64, 128, 256, 512, 1024]
MODELS = {"MLP, SGD momentum": "MLP, batch 512, SGD momentum", "LeNet-5": "LeNet-5, batch 512"}

if __name__ == "__main__":
    T, seconds = framework(sys.argv[1]), float(sys.argv[2])
    print(json.dumps({name: {n: measure(T, name, n, seconds) for n in SIZES} for name in sys.argv[3:]}))
