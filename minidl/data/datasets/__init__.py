"""Data sets by name: `Digits` lies in the package, others are looked for on the disk or downloaded; `ImageFolder` and
`CSV` read files of one's own. `status` says what is there, `fetch` gets what is not.
"""

from .catalog import DataStatus, fetch, status
from .cifar import CIFAR10, CIFAR100
from .digits import Digits
from .folder import ImageFolder
from .mnist import MNIST, FashionMNIST
from .source import DatasetError
from .table import CSV
from .text import TinyShakespeare

__all__ = ["CIFAR10", "CIFAR100", "CSV", "MNIST", "DataStatus", "DatasetError", "Digits", "FashionMNIST", "ImageFolder"]
__all__ += ["TinyShakespeare", "fetch", "status"]
