"""Optimizers, under PyTorch's names: they change parameters by the gradients that backward left in `.grad`."""

from . import groups, lr_scheduler, schedules, swa_utils, transforms
from .adabound import AdaBound
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .asgd import ASGD
from .ema import EMA
from .ensemble import Ensemble
from .groups import GradualUnfreezing, freeze, groups_without_decay, layerwise_rates, unfreeze
from .joint import Joint
from .lamb import LAMB
from .lars import LARS
from .lbfgs import LBFGS
from .lion import Lion
from .lookahead import Lookahead
from .muon import Muon
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedule_free import AdamWScheduleFree, SGDScheduleFree
from .sgd import SGD
from .sparse_adam import SparseAdam
from .switch import SWATS, Switch

__all__ = [
    "ASGD",
    "EMA",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "SWATS",
    "AdaBound",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "Ensemble",
    "GradualUnfreezing",
    "Joint",
    "Lion",
    "Lookahead",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
    "SparseAdam",
    "Switch",
    "freeze",
    "groups",
    "groups_without_decay",
    "layerwise_rates",
    "lr_scheduler",
    "schedules",
    "swa_utils",
    "transforms",
    "unfreeze",
]
