"""torchvision's path to the transforms of `minidl.data.transforms`."""

from ...data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    ConvertImageDtype,
    Grayscale,
    InterpolationMode,
    Lambda,
    Normalize,
    Pad,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ToTensor,
)

__all__ = ["CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "Grayscale", "InterpolationMode", "Lambda"]
__all__ += ["Normalize", "Pad", "RandomApply", "RandomCrop", "RandomErasing", "RandomHorizontalFlip", "RandomRotation"]
__all__ += ["RandomVerticalFlip", "Resize", "ToTensor"]
