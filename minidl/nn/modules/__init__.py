"""PyTorch's paths to the layers: `nn.modules.conv.Conv2d` is `nn.Conv2d`. One table makes a module for each path."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .. import (
    activation,
    attention,
    containers,
    conv,
    distance,
    dropout,
    hooks,
    lazy,
    linear,
    loading,
    loss,
    module,
    norm,
    padding,
    parallel,
    pooling,
    recurrent,
    shuffling,
    sparse,
    transformer,
    upsampling,
)
from ..loss import base
from . import functions

# path -> the names that PyTorch has there (of those, the ones that exist here)
PATHS = {
    "activation": """
        Threshold ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish ELU CELU SELU GLU GELU
        Hardshrink LeakyReLU LogSigmoid Softplus Softshrink MultiheadAttention PReLU Softsign Tanhshrink Softmin Softmax
        Softmax2d LogSoftmax""",
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": """
        BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d
        _NormBase _BatchNorm _LazyNormBase""",
    "channelshuffle": "ChannelShuffle",
    "container": "Sequential ModuleList ModuleDict ParameterList ParameterDict _addindent",
    "conv": """
        Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d LazyConv3d
        LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d _ConvNd _ConvTransposeNd _LazyConvXdMixin""",
    "distance": "PairwiseDistance CosineSimilarity",
    "dropout": "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout _DropoutNd",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": """
        InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d
        _InstanceNorm""",
    "lazy": "LazyModuleMixin",
    "linear": "Bilinear Identity LazyLinear Linear NonDynamicallyQuantizableLinear",
    "loss": """
        L1Loss NLLLoss NLLLoss2d PoissonNLLLoss GaussianNLLLoss KLDivLoss MSELoss BCELoss BCEWithLogitsLoss
        HingeEmbeddingLoss MultiLabelMarginLoss SmoothL1Loss HuberLoss SoftMarginLoss CrossEntropyLoss
        LinearCrossEntropyLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss MarginRankingLoss MultiMarginLoss
        TripletMarginLoss TripletMarginWithDistanceLoss CTCLoss _Loss _WeightedLoss""",
    "module": """
        Module register_module_forward_pre_hook register_module_forward_hook register_module_full_backward_pre_hook
        register_module_backward_hook register_module_full_backward_hook register_module_buffer_registration_hook
        register_module_module_registration_hook register_module_parameter_registration_hook
        T_destination _IncompatibleKeys _addindent _EXTRA_STATE_KEY_SUFFIX""",
    "normalization": "LocalResponseNorm CrossMapLRN2d LayerNorm GroupNorm RMSNorm",
    "padding": """
        CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d
        ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d
        ZeroPad3d""",
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": """
        MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d AvgPool1d AvgPool2d AvgPool3d
        FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
        AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d _MaxPoolNd _AvgPoolNd _LPPoolNd
        _MaxUnpoolNd""",
    "rnn": "RNNBase RNN LSTM GRU RNNCellBase RNNCell LSTMCell GRUCell",
    "sparse": "Embedding EmbeddingBag",
    "transformer": """
        Transformer TransformerEncoder TransformerDecoder TransformerEncoderLayer TransformerDecoderLayer _get_clones
        _get_activation_fn""",
    "upsampling": "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
    "utils": """
        consume_prefix_in_state_dict_if_present _ntuple _single _pair _triple _quadruple _reverse_repeat_tuple
        _list_with_default""",
}
# the same for two paths beside this package
BESIDE = {"parallel.data_parallel": "DataParallel data_parallel", "parallel.distributed": "DistributedDataParallel"}

# what has another name here
_OTHERS: dict[str, Any] = {
    "_LazyNormBase": lazy._LazyNorm,
    "_LazyConvXdMixin": lazy._LazyConv,
    "_Loss": base.Loss,
    "_WeightedLoss": base.WeightedLoss,
    "_MaxPoolNd": pooling._MaxPool,
    "_AvgPoolNd": pooling._AvgPool,
    "_LPPoolNd": pooling._LPPool,
    "_MaxUnpoolNd": pooling._MaxUnpool,
    "_EXTRA_STATE_KEY_SUFFIX": loading.EXTRA,
}
_SOURCES = (
    *(activation, attention, containers, conv, distance, dropout, hooks, lazy, linear, loading, loss, module, norm),
    *(padding, parallel, pooling, recurrent, shuffling, sparse, transformer, upsampling, functions),
)
_FOUND: dict[str, Any] = {name: value for source in _SOURCES for name, value in vars(source).items()} | _OTHERS


def _make(path: str, names: str) -> ModuleType:
    """The module at a path, with those of its names that there are."""
    made = ModuleType(path, f"PyTorch's path to these: {' '.join(names.split())}.")
    made.__spec__ = ModuleSpec(path, None)
    found: dict[str, Any] = {name: _FOUND[name] for name in names.split() if name in _FOUND}
    found["__all__"] = [name for name in found if not name.startswith("_")]
    made.__dict__.update(found)
    sys.modules[path] = made
    return made


__all__: list[str] = []
for _path, _names in PATHS.items():
    _made = globals()[_path] = _make(f"{__name__}.{_path}", _names)
    for _name in _made.__all__:
        if isinstance(_FOUND[_name], type):
            globals()[_name] = _FOUND[_name]
            __all__.append(_name)
for _path, _names in BESIDE.items():
    _make(f"{__name__.rpartition('.')[0]}.{_path}", _names)
