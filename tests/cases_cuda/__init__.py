"""What the kernels for the GPU have to compute: `TWINS`, entered by the files of this folder, all of which are read."""

import importlib
import pkgutil

from .table import TWINS, Twin

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
