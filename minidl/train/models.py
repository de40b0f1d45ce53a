"""The models that the command line offers: a perceptron, LeNet-5 and a small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import BatchNorm2d, Conv2d, Dropout, Linear, Module
from ..nn import functional as F
from ..tensor import Tensor


def _pooled(where: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels of an image shape, and its height and width after two poolings by 2."""
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ValueError(f"{where}: expected images (C, H, W) with H and W of at least 4, got {tuple(shape)}")
    channels, height, width = shape
    return channels, height // 4, width // 4


class MLP(Module):
    """A perceptron: flattened image, 256 and 128 hidden units with ReLU, one score for each class.

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes).
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> None:
        super().__init__()
        channels, height, width = shape
        self.fc1 = Linear(channels * height * width, 256)
        self.fc2 = Linear(256, 128)
        self.fc3 = Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class LeNet5(Module):
    """LeNet-5 (LeCun et al., 1998) with ReLU and max pooling, as it is taught today; 61,706 parameters for 28x28.

    Two convolutions of 5x5 (6 and 16 channels), each followed by pooling, then 120, 84 and one unit for each class. The
    first convolution is padded by 2; so is the second where images are smaller than 20 pixels and it would not fit.

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes).
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> None:
        super().__init__()
        channels, height, width = shape
        _pooled("LeNet5", shape)
        padding = 2 if min(height, width) < 20 else 0
        rows, columns = ((n // 2 + 2 * padding - 4) // 2 for n in (height, width))
        self.conv1 = Conv2d(channels, 6, 5, padding=2)
        self.conv2 = Conv2d(6, 16, 5, padding=padding)
        self.fc1 = Linear(16 * rows * columns, 120)
        self.fc2 = Linear(120, 84)
        self.fc3 = Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class CNN(Module):
    """A small convolutional network: two convolutions of 3x3 (16 and 32 channels) with batch normalisation, ReLU and
    pooling, then 64 hidden units with dropout and one score for each class.

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes).
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10, dropout: float = 0.25) -> None:
        super().__init__()
        channels, height, width = _pooled("CNN", shape)
        self.conv1 = Conv2d(channels, 16, 3, padding=1)
        self.bn1 = BatchNorm2d(16)
        self.conv2 = Conv2d(16, 32, 3, padding=1)
        self.bn2 = BatchNorm2d(32)
        self.fc1 = Linear(32 * height * width, 64)
        self.dropout = Dropout(dropout)
        self.fc2 = Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)
