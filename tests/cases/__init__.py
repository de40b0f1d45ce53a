"""The table of cases of every op: `TABLE`, entered by the files of this folder."""

from . import elementary, layers, losses, recurrent
from .table import TABLE, Entry
