"""Training: the loop, what it measures, checkpoints, and runs as folders; what the command line is made of."""

from .checkpoint import load_checkpoint, save_checkpoint
from .loop import NonFiniteLoss, Position, Record, constant, cosine, evaluate, fit
from .metrics import Totals, accuracy
from .models import CNN, MLP, LeNet5
from .run import DATASETS, MODELS, OPTIMIZERS, SCHEDULES, Options, Outcome, RunError, RunFolder, execute, load_data

__all__ = ["fit", "evaluate", "Record", "Position", "NonFiniteLoss", "constant", "cosine", "Totals", "accuracy"]
__all__ += ["save_checkpoint", "load_checkpoint", "MLP", "LeNet5", "CNN", "execute", "load_data", "Options", "Outcome"]
__all__ += ["RunError", "RunFolder", "DATASETS", "MODELS", "OPTIMIZERS", "SCHEDULES"]
