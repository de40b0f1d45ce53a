"""Training: the loop, what it measures, checkpoints, and runs as folders; what the command line is made of."""

from .checkpoint import load_checkpoint, save_checkpoint
from .folder import RunFolder
from .loop import NonFiniteLoss, Position, Record, evaluate, fit
from .metrics import Totals, accuracy, confusion
from .models import CNN, MLP, LeNet5, ResNet8, RowLSTM
from .options import MODELS, SCHEDULES, Options, RunError
from .rules import RULES
from .run import Outcome, execute
from .sets import DATASETS, load_data
from .summary import Summary, summary

__all__ = ["fit", "evaluate", "Record", "Position", "NonFiniteLoss", "Totals"]
__all__ += ["accuracy", "confusion", "save_checkpoint", "load_checkpoint", "MLP", "LeNet5", "CNN", "ResNet8", "execute"]
__all__ += ["load_data", "Options", "Outcome", "RunError", "RunFolder", "DATASETS", "MODELS", "RULES", "SCHEDULES"]
__all__ += ["summary", "Summary", "RowLSTM"]
