"""The models that the command line offers: a perceptron, LeNet-5, a small convolutional network, a residual network and
an LSTM that reads an image row by row."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import LSTM, BatchNorm2d, Conv2d, Dropout, Linear, Module, Sequential, init
from ..nn import functional as F
from ..tensor import Tensor


def _images(where: str, shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of an image shape, which has to be one."""
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < least:
        size = f" with H and W of at least {least}" if least > 1 else ""
        raise ValueError(f"{where}: expected images (C, H, W){size}, got {tuple(shape)}")
    channels, height, width = shape
    return channels, height, width


class MLP(Module):
    """A perceptron: flattened image, 256 and 128 hidden units with ReLU, one score for each class.

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes).
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> None:
        super().__init__()
        channels, height, width = _images("MLP", shape)
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
        channels, height, width = _images("LeNet5", shape, 4)
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
        channels, height, width = _images("CNN", shape, 4)
        self.conv1 = Conv2d(channels, 16, 3, padding=1)
        self.bn1 = BatchNorm2d(16)
        self.conv2 = Conv2d(16, 32, 3, padding=1)
        self.bn2 = BatchNorm2d(32)
        self.fc1 = Linear(32 * (height // 4) * (width // 4), 64)
        self.dropout = Dropout(dropout)
        self.fc2 = Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


class BasicBlock(Module):
    """A residual block (He et al., 2016): y = ReLU(f(x) + s(x)), f two convolutions of 3x3 with batch normalisation.

    The shortcut s is the identity; where the block changes the shape it is a convolution of 1x1 with batch
    normalisation, which the paper calls option B.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(out_channels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(out_channels)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = Sequential(
                Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet8(Module):
    """A residual network of 8 layers (He et al., 2016, section 4.2, one block a stage), half as wide again.

    At He's width of 16 it has 78,042 parameters for CIFAR-10, at 24 it has 174,274.

    A convolution of 3x3, three blocks with `width`, 2 and 4 times `width` channels, the later two at half the size of
    the one before, the mean of each channel, and one score for each class. zero_init: the last scale of each block
    begins as 0, so that every block begins as its shortcut (Goyal et al., 2017).

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes).
    """

    def __init__(
        self, shape: Sequence[int] = (3, 32, 32), classes: int = 10, width: int = 24, zero_init: bool = False
    ) -> None:
        super().__init__()
        channels, _, _ = _images("ResNet8", shape)
        self.conv1 = Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.layer1 = BasicBlock(width, width)
        self.layer2 = BasicBlock(width, 2 * width, stride=2)
        self.layer3 = BasicBlock(2 * width, 4 * width, stride=2)
        self.fc = Linear(4 * width, classes)
        if zero_init:
            for block in (self.layer1, self.layer2, self.layer3):
                init.zeros_(block.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class RowLSTM(Module):
    """An LSTM (Hochreiter and Schmidhuber, 1997) that reads an image from top to bottom, one row of pixels a step; its
    last state gives one score for each class.

    Shape:
        (N, C, H, W), with `shape` = (C, H, W), to (N, classes); the sequence is (N, H, C W).
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10, hidden: int = 128) -> None:
        super().__init__()
        channels, height, width = _images("RowLSTM", shape)
        self.lstm = LSTM(channels * width, hidden, batch_first=True)
        self.fc = Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        rows = x.transpose(1, 2).flatten(2)
        states, _ = self.lstm(rows)
        return self.fc(states[:, -1])
