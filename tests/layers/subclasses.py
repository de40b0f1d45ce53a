"""Subclasses of layers as programs have them: other weights, own `forward`s, `reset_parameters` and constructors."""

from __future__ import annotations

import numpy as np

from .runs import layer


def _standardized(nn):
    class WSConv2d(nn.Conv2d):
        def forward(self, x):
            w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(x, w / (w.flatten(1).std(1).view(-1, 1, 1, 1) + 1e-5), self.bias)

    return WSConv2d(2, 3, 2, padding=1, padding_mode="circular")


def _by_function(nn):
    class Scaled(nn.Conv2d):
        def forward(self, x):
            options = (self.stride, self.padding, self.dilation, self.groups)
            return nn.functional.conv2d(x, self.weight * 2, self.bias, *options)

    return Scaled(2, 4, 3, stride=2, padding=1, groups=2, bias=False)


def _hooked_in(nn):
    class Half(nn.Conv1d):
        def _conv_forward(self, input, weight, bias):
            return super()._conv_forward(input, weight / 2, bias)

    return Half(2, 3, 3, padding="same", padding_mode="reflect")


def _from_base(nn):
    class Own(nn.modules.conv._ConvNd):
        def __init__(self, in_channels, out_channels, kernel_size):
            pair = nn.modules.utils._pair
            sizes = (pair(kernel_size), pair(1), pair(1), pair(1))
            super().__init__(in_channels, out_channels, *sizes, False, pair(0), 1, True, "zeros")

        def forward(self, x):
            padded = nn.functional.pad(x, self._reversed_padding_repeated_twice)
            assert self.output_padding == (0, 0) and not self.transposed
            return nn.functional.conv2d(padded, self.weight, self.bias, self.stride)

    return Own(2, 3, 2)


def _larger(nn):
    class Larger(nn.ConvTranspose2d):
        def forward(self, x, output_size=None):
            more = self._output_padding(
                x, output_size or (5, 6), self.stride, self.padding, self.kernel_size, 2, self.dilation
            )
            options = (self.stride, self.padding, more, self.groups, self.dilation)
            return nn.functional.conv_transpose2d(x, self.weight, self.bias, *options)

    return Larger(2, 2, 2, stride=2)


layer("Conv2d with a standardized weight", _standardized, (2, 2, 3, 3))
layer("Conv2d by its function", _by_function, (2, 2, 4, 4))
layer("Conv1d with its own _conv_forward", _hooked_in, (2, 2, 4))
layer("_ConvNd with its own forward", _from_base, (2, 2, 3, 3))
layer("ConvTranspose2d with its own output_padding", _larger, (1, 2, 2, 3))


# ---------------------------------------------------------------------------------------------------- normalisation
def _own_forward(nn):
    class Own(nn.BatchNorm2d):
        def forward(self, input):
            self._check_input_dim(input)
            factor = 0.0 if self.momentum is None else self.momentum
            if self.training and self.track_running_stats:
                self.num_batches_tracked = self.num_batches_tracked + 1
                factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else factor
            statistics = (self.running_mean, self.running_var)
            training = self.training or not self.track_running_stats
            return nn.functional.batch_norm(input, *statistics, self.weight, self.bias, training, factor, self.eps)

    return Own(3, momentum=None)


def _of_any(nn):
    class Own(nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input):
            return

    return Own(3)


def _instance(nn):
    class Own(nn.modules.instancenorm._InstanceNorm):
        def _get_no_batch_dim(self):
            return 2

        def _check_input_dim(self, input):
            if input.dim() not in (2, 3):
                raise ValueError(f"expected 2D or 3D input (got {input.dim()}D input)")

    return Own(3, affine=True, track_running_stats=True)


def _layer_norm(nn):
    class Channels(nn.LayerNorm):
        def forward(self, x):
            x = nn.functional.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
            return x.permute(0, 3, 1, 2)

    return Channels(2)


layer("BatchNorm2d with its own forward", _own_forward, (2, 3, 2, 2))
layer("_BatchNorm of any number of dimensions", _of_any, (2, 3, 2, 1, 2, 2))
layer("_InstanceNorm of lines", _instance, (2, 3, 4))
layer("LayerNorm of channels", _layer_norm, (2, 2, 2, 3))


# --------------------------------------------------------------------------------------------------- and the others
def _linear(nn):
    class Noisy(nn.Linear):
        def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
            factory_kwargs = {"device": device, "dtype": dtype}
            super().__init__(in_features, out_features, bias=True, **factory_kwargs)
            self.sigma = nn.Parameter(self.weight.new_full((out_features, in_features), 0.5))
            self.register_parameter("bias", None)
            self.reset_noise()

        def reset_parameters(self):
            nn.init.constant_(self.weight, 0.5)
            if hasattr(self, "sigma"):
                nn.init.zeros_(self.sigma)

        def reset_noise(self):
            self.register_buffer("epsilon", self.weight.detach() * 0 + 2)

        def forward(self, input):
            return nn.functional.linear(input, self.weight + self.sigma * self.epsilon, self.bias)

    return Noisy(3, 2)


def _embedding(nn):
    class Scaled(nn.Embedding):
        def reset_parameters(self):
            nn.init.normal_(self.weight, mean=0, std=self.embedding_dim**-0.5)
            self._fill_padding_idx_with_zero()

        def forward(self, x):
            return super().forward(x) * self.embedding_dim**0.5

    return Scaled(3, 2, padding_idx=1)


def _recurrent(nn):
    class Last(nn.LSTM):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, batch_first=True, **kwargs)

        def reset_parameters(self):
            for name, p in self.named_parameters():
                nn.init.orthogonal_(p) if name.startswith("weight") else nn.init.zeros_(p)

        def forward(self, x):
            return super().forward(x)[0][:, -1]

    return Last(2, 3, bidirectional=True)


def _dropout(nn):
    class Twice(nn.modules.dropout._DropoutNd):
        def forward(self, x):
            return nn.functional.dropout(x, self.p * 0, self.training, self.inplace) * 2

    return Twice(0.5)


def _loss(nn):
    class Focal(nn.modules.loss._WeightedLoss):
        def __init__(self, weight=None, gamma=2.0, reduction="focal"):
            super().__init__(weight, reduction=reduction)
            self.gamma = gamma

        def forward(self, x):
            assert self.reduction == "focal"
            log = nn.functional.log_softmax(x, dim=1) * self.weight
            return -((1 - log.exp()) ** self.gamma * log).sum(1)

    return Focal(nn.Linear(1, 3).weight.detach().flatten() * 0 + 1)


layer("Linear with noise", _linear, (4, 3))
layer("Embedding that is scaled", _embedding, np.array([0, 2, 1, 2]))
layer("LSTM's last output", _recurrent, (2, 3, 2))
layer("_DropoutNd with its own forward", _dropout, (2, 3))
layer("_WeightedLoss with its own reduction", _loss, (4, 3))
