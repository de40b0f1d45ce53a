"""Every loss over its main options; what must lie in some range goes through a function that brings it there."""

from __future__ import annotations

import sys

import numpy as np

from .runs import layer

CLASSES = np.array([1, 0, 2, 1])
SIGNS = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])
YES = (SIGNS + 1) / 2
SHARES = np.array([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0], [0.125, 0.125, 0.75], [0.5, 0.0, 0.5]])
COUNTS = np.array([[0.0, 1.0, 2.0], [5.0, 3.0, 1.0], [0.0, 0.0, 7.0], [1.0, 4.0, 2.0]])


def tensor(nn, *values):
    """A tensor of the library whose `nn` this is."""
    return sys.modules[nn.__name__.partition(".")[0]].tensor(values)


def after(nn, prepare, loss):
    """The loss of inputs that `prepare` has changed."""

    class After(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = loss

        def forward(self, *inputs):
            return self.loss(*prepare(*inputs))

    return After()


def probabilities(x, *others):
    return x.sigmoid(), *others


def both_probabilities(x, t):
    return x.sigmoid(), t.sigmoid()


def log_probabilities(x, *others):
    return x.log_softmax(1), *others


def both_log_probabilities(x, t):
    return x.log_softmax(1), t.log_softmax(1)


def positive(x, *others):
    return x.exp(), *others


def last_positive(x, t, v):
    return x, t, v.exp()


layer("MSELoss", lambda nn: nn.MSELoss(), (4, 3), (4, 3))
layer("L1Loss", lambda nn: nn.L1Loss(reduction="sum"), (4, 3), (4, 3))
layer("SmoothL1Loss", lambda nn: nn.SmoothL1Loss(), (4, 3), (4, 3))
layer("SmoothL1Loss beta", lambda nn: nn.SmoothL1Loss(reduction="sum", beta=0.4), (4, 3), (4, 3))
layer("SmoothL1Loss beta 0", lambda nn: nn.SmoothL1Loss(reduction="none", beta=0.0), (4, 3), (4, 3))
layer("HuberLoss", lambda nn: nn.HuberLoss(), (4, 3), (4, 3))
layer("HuberLoss delta", lambda nn: nn.HuberLoss("none", 0.7), (4, 3), (4, 3))

layer("NLLLoss", lambda nn: after(nn, log_probabilities, nn.NLLLoss()), (4, 3), CLASSES)
layer("NLLLoss options", lambda nn: nn.NLLLoss(tensor(nn, 0.5, 2.0, 1.0), ignore_index=2), (4, 3), CLASSES)
layer("CrossEntropyLoss", lambda nn: nn.CrossEntropyLoss(), (4, 3), CLASSES)
layer(
    "CrossEntropyLoss options",
    lambda nn: nn.CrossEntropyLoss(tensor(nn, 0.5, 2.0, 1.0), ignore_index=2, label_smoothing=0.3),
    (4, 3),
    CLASSES,
)
layer("CrossEntropyLoss ignoring", lambda nn: nn.CrossEntropyLoss(ignore_index=2), (4, 3), CLASSES)
layer(
    "CrossEntropyLoss of shares",
    lambda nn: nn.CrossEntropyLoss(tensor(nn, 0.5, 2.0, 1.0), label_smoothing=0.3, reduction="sum"),
    (4, 3),
    SHARES,
)
layer("MultiMarginLoss", lambda nn: nn.MultiMarginLoss(), (4, 3), CLASSES)
layer(
    "MultiMarginLoss options",
    lambda nn: nn.MultiMarginLoss(2, 0.6, tensor(nn, 0.5, 2.0, 1.0), reduction="sum"),
    (4, 3),
    CLASSES,
)
layer(
    "MultiLabelMarginLoss",
    lambda nn: nn.MultiLabelMarginLoss(),
    (4, 3),
    np.array([[2, -1, 0], [0, 1, -1], [-1, 0, 1], [2, 0, 1]]),
)

layer("BCELoss", lambda nn: after(nn, probabilities, nn.BCELoss()), (4, 3), YES)
layer("BCELoss to targets", lambda nn: after(nn, both_probabilities, nn.BCELoss(reduction="none")), (4, 3), (4, 3))
layer(
    "BCELoss weight",
    lambda nn: after(nn, probabilities, nn.BCELoss(tensor(nn, 0.5, 2.0, 1.0), reduction="mean")),
    (4, 3),
    YES,
)
layer("BCEWithLogitsLoss", lambda nn: nn.BCEWithLogitsLoss(), (4, 3), (4, 3))
layer(
    "BCEWithLogitsLoss weights",
    lambda nn: nn.BCEWithLogitsLoss(tensor(nn, [0.5], [2.0], [1.0], [3.0]), pos_weight=tensor(nn, 3.0, 0.5, 2.0)),
    (4, 3),
    YES,
)
layer("SoftMarginLoss", lambda nn: nn.SoftMarginLoss(), (4, 3), SIGNS)
layer("MultiLabelSoftMarginLoss", lambda nn: nn.MultiLabelSoftMarginLoss(), (4, 3), YES)
layer(
    "MultiLabelSoftMarginLoss weight",
    lambda nn: nn.MultiLabelSoftMarginLoss(tensor(nn, 0.5, 2.0, 1.0), reduction="none"),
    (4, 3),
    YES,
)

layer("KLDivLoss", lambda nn: after(nn, log_probabilities, nn.KLDivLoss(reduction="batchmean")), (4, 3), SHARES)
layer(
    "KLDivLoss of logs",
    lambda nn: after(nn, both_log_probabilities, nn.KLDivLoss(reduction="none", log_target=True)),
    (4, 3),
    (4, 3),
)
layer("KLDivLoss to targets", lambda nn: after(nn, both_probabilities, nn.KLDivLoss(reduction="sum")), (4, 3), (4, 3))
layer("PoissonNLLLoss", lambda nn: nn.PoissonNLLLoss(), (4, 3), COUNTS)
layer("PoissonNLLLoss full", lambda nn: nn.PoissonNLLLoss(full=True, reduction="sum"), (4, 3), COUNTS)
layer(
    "PoissonNLLLoss of counts",
    lambda nn: after(nn, positive, nn.PoissonNLLLoss(log_input=False, eps=1e-2, reduction="none")),
    (4, 3),
    COUNTS,
)
layer("GaussianNLLLoss", lambda nn: after(nn, last_positive, nn.GaussianNLLLoss()), (4, 3), (4, 3), (4, 3))
layer(
    "GaussianNLLLoss one variance",
    lambda nn: after(nn, last_positive, nn.GaussianNLLLoss(full=True, reduction="sum")),
    (4, 3),
    (4, 3),
    (4, 1),
)
layer(
    "GaussianNLLLoss without the last dimension",
    lambda nn: after(nn, last_positive, nn.GaussianNLLLoss(eps=1e-3, reduction="none")),
    (4, 3),
    (4, 3),
    (4,),
)

layer("HingeEmbeddingLoss", lambda nn: nn.HingeEmbeddingLoss(), (4, 3), SIGNS)
layer("HingeEmbeddingLoss margin", lambda nn: nn.HingeEmbeddingLoss(0.3, reduction="none"), (4, 3), SIGNS)
layer("CosineEmbeddingLoss", lambda nn: nn.CosineEmbeddingLoss(), (4, 3), (4, 3), SIGNS[:, 0])
layer(
    "CosineEmbeddingLoss margin", lambda nn: nn.CosineEmbeddingLoss(-0.2, reduction="none"), (3,), (3,), np.array(-1.0)
)
layer("MarginRankingLoss", lambda nn: nn.MarginRankingLoss(), (4,), (4,), SIGNS[:, 1])
layer("MarginRankingLoss margin", lambda nn: nn.MarginRankingLoss(0.8, reduction="sum"), (4, 3), (4, 3), SIGNS)
layer("TripletMarginLoss", lambda nn: nn.TripletMarginLoss(), (4, 3), (4, 3), (4, 3))
layer(
    "TripletMarginLoss options",
    lambda nn: nn.TripletMarginLoss(2.5, 3.0, 1e-2, True, reduction="none"),
    (4, 3),
    (4, 3),
    (4, 3),
)
layer("TripletMarginLoss of one", lambda nn: nn.TripletMarginLoss(4.0, 1.0), (3,), (3,), (3,))
layer("TripletMarginWithDistanceLoss", lambda nn: nn.TripletMarginWithDistanceLoss(margin=3.0), (4, 3), (4, 3), (4, 3))
layer(
    "TripletMarginWithDistanceLoss of a function",
    lambda nn: nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: ((x - y) ** 4).sum(-1), swap=True, reduction="sum"
    ),
    (4, 3),
    (4, 3),
    (4, 3),
)
