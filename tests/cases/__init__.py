"""The table of cases of every op: `TABLE`, entered by the files of this folder."""

from . import elementary, layers, losses, recurrent, sequences, spatial, surface
from .table import TABLE, Entry
