"""torchvision's path to the data sets of `minidl.data.datasets`; an image without a transform is a NumPy array here."""

from ...data.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST, ImageFolder

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "ImageFolder"]
