"""Recurrent layers: LSTM, GRU and RNN over sequences, and the cells that take one step."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import functions as F
from ..modes import mode
from ..ops import recurrent as R
from ..ops import shape as S
from ..tensor import Parameter, Tensor
from . import functional, init
from .checks import a_tensor, positive, same_dtype
from .linear import new_parameter
from .module import Module
from .utils.rnn import PackedSequence

# number of gates, and the names of the states
_MODES = {"LSTM": (4, ("h_0", "c_0")), "GRU": (3, ("h_0",)), "RNN_TANH": (1, ("h_0",)), "RNN_RELU": (1, ("h_0",))}


def _advance(mode: str, x: Tensor, states, weights, reverse: bool = False, sizes=None) -> tuple[Tensor, ...]:
    """One layer in one direction: the outputs of all steps, and the last states."""
    if mode == "LSTM":
        return R.lstm(x, *states, *weights, reverse=reverse, sizes=sizes)
    if mode == "GRU":
        return R.gru(x, *states, *weights, reverse=reverse, sizes=sizes)
    return R.rnn(x, *states, *weights, relu=mode == "RNN_RELU", reverse=reverse, sizes=sizes)


def run_layers(
    mode: str, x: Tensor, states, all_weights, bias: bool, dropout: float, directions: int, sizes=None
) -> tuple[Tensor, list[Tensor]]:
    """All layers, with dropout between them: the outputs of the last one, and the last states of each."""
    found: list[tuple] = []
    for k, weights in enumerate(all_weights):
        start = [S.getitem(state, index=k) for state in states]
        given: list[Any] = weights if bias else [*weights[:2], None, None, *weights[2:]]
        y, *last = _advance(mode, x, start, given, k % directions == 1, sizes)
        found.append((y, *last))
        if (k + 1) % directions == 0:
            x = y if directions == 1 else S.cat(found[-2][0], y, axis=-1)
            if dropout and k + 1 < len(all_weights):
                x = functional.dropout(x, dropout, True)
    return x, [S.pile(*parts, axis=0) for parts in list(zip(*found, strict=True))[1:]]


def _nonlinear(where: str, nonlinearity: str) -> str:
    """The mode of an RNN."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{where}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return f"RNN_{nonlinearity.upper()}"


def _flag(where: str, **values) -> None:
    for name, value in values.items():
        if not isinstance(value, bool):
            raise TypeError(f"{where}: {name} must be True or False, got {value!r}")


def _reset(module: Module, hidden_size: int) -> None:
    bound = 1 / math.sqrt(hidden_size)
    for p in module.parameters():
        init.uniform_(p, -bound, bound)


def _checked_states(where: str, hx, shapes: dict[str, tuple], like: Tensor) -> list[Tensor]:
    """The given states, each of its shape; zeros if none are given."""
    names = list(shapes)
    if hx is None:
        return [F.zeros(shape, device=like.device, dtype=like.dtype) for shape in shapes.values()]
    states = [hx] if len(names) == 1 else list(hx) if isinstance(hx, (tuple, list)) else []
    if len(states) != len(names):
        got = f"{len(hx)} of them" if isinstance(hx, (tuple, list)) else type(hx).__name__
        raise ValueError(f"{where}: the states must come as a tuple ({', '.join(names)}), got {got}")
    for name, state in zip(names, states, strict=True):
        if a_tensor(state, where, name).array.shape != shapes[name]:
            raise RuntimeError(f"{where}: {name} must have shape {shapes[name]}, got {tuple(state.shape)}")
        if state.array.dtype != like.array.dtype and mode.autocast is None:
            raise TypeError(f"{where}: {name} is {state.dtype}, the input is {like.dtype}; cast one")
    return states


class RNNBase(Module):
    """What LSTM, GRU and RNN share: the parameters of all layers and directions, and the way through them."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        where = type(self).__name__
        if mode not in _MODES:
            raise ValueError(f"{where}: mode must be one of {', '.join(_MODES)}, got {mode!r}")
        positive(where, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        _flag(where, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(f"{where}: dropout must be a probability between 0 and 1, got {dropout!r}")
        if not isinstance(proj_size, int) or proj_size < 0:
            raise ValueError(f"{where}: proj_size must be an int of at least 0, got {proj_size!r}")
        if proj_size >= hidden_size or (proj_size and mode != "LSTM"):
            raise ValueError(
                f"{where}: proj_size={proj_size} must be less than hidden_size {hidden_size}, and is for LSTM only"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{where}: dropout={dropout} has no effect with num_layers=1: it comes after all layers but the last",
                stacklevel=3,
            )
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, names, features = _MODES[mode][0] * hidden_size, [], proj_size or hidden_size
        for layer in range(num_layers):
            size = input_size if layer == 0 else features * (2 if bidirectional else 1)
            for end in ("", "_reverse") if bidirectional else ("",):
                shapes: dict[str, tuple] = {"weight_ih": (rows, size), "weight_hh": (rows, features)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes |= {"weight_hr": (proj_size, hidden_size)}
                names.append(tuple([f"{name}_l{layer}{end}" for name in shapes]))
                for name, shape in zip(names[-1], shapes.values(), strict=True):
                    setattr(self, name, new_parameter(shape, device, dtype))
        self._all_weights = tuple(names)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in +-1/sqrt(hidden_size)."""
        _reset(self, self.hidden_size)

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """For each layer and direction its parameters: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: it is there for programs written for PyTorch, where cuDNN wants the weights in one buffer."""

    def _checked_features(self, x: Tensor) -> None:
        where = type(self).__name__
        if x.array.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{where}: input has {x.array.shape[-1]} features, expected input_size {self.input_size} "
                f"(input is {tuple(x.shape)})"
            )
        same_dtype(x, getattr(self, self._all_weights[0][0]), where)

    def _checked_input(self, input) -> tuple[Tensor, bool]:
        """The input as (T, N, D), and whether it came without a batch."""
        where = type(self).__name__
        x = a_tensor(input, where)
        if x.array.ndim not in (2, 3):
            shapes = "(N, T, D)" if self.batch_first else "(T, N, D)"
            raise ValueError(f"{where}: expected input {shapes} or, without a batch, (T, D), got {tuple(x.shape)}")
        self._checked_features(x)
        single = x.array.ndim == 2
        x = F.unsqueeze(x, 1) if single else F.transpose(x, 0, 1) if self.batch_first else x
        if not x.array.shape[0]:
            raise RuntimeError(f"{where}: expected at least one time step, got input {tuple(input.shape)}")
        return x, single

    def _states(self, hx, batch: tuple, x: Tensor) -> list[Tensor]:
        """The first states of all layers and directions."""
        shapes = {
            name: (len(self._all_weights), *batch, (name == "h_0" and self.proj_size) or self.hidden_size)
            for name in _MODES[self.mode][1]
        }
        return _checked_states(type(self).__name__, hx, shapes, x)

    def _run(self, x: Tensor, states: list[Tensor], sizes=None) -> tuple[Tensor, list[Tensor]]:
        dropout, directions = self.dropout if self.training else 0.0, 2 if self.bidirectional else 1
        return run_layers(self.mode, x, states, self.all_weights, self.bias, dropout, directions, sizes)

    def _run_packed(self, input: PackedSequence, hx) -> tuple[PackedSequence, Any]:
        """The same for packed sequences, whose states are in the original order."""
        data, batch_sizes, order, back = input
        where = type(self).__name__
        if a_tensor(data, where).array.ndim != 2:
            raise RuntimeError(f"{where}: expected packed data (sum of lengths, D), got {tuple(data.shape)}")
        self._checked_features(data)
        sizes = tuple(batch_sizes.tolist())
        states = self._states(hx, (sizes[0],), data)
        if order is not None and hx is not None:
            states = [F.index_select(state, 1, order) for state in states]
        y, lasts = self._run(data, states, sizes)
        if back is not None:
            lasts = [F.index_select(last, 1, back) for last in lasts]
        return PackedSequence(y, batch_sizes, order, back), lasts[0] if len(lasts) == 1 else tuple(lasts)

    def forward(self, input: Tensor | PackedSequence, hx=None) -> tuple[Any, Any]:
        """(outputs of all steps, last states), from the states `hx` or from zeros; packed if the input is."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        x, single = self._checked_input(input)
        states = self._states(hx, () if single else (x.array.shape[1],), x)
        if single:
            states = [F.unsqueeze(state, 1) for state in states]
        x, lasts = self._run(x, states)
        if single:
            x, lasts = F.squeeze(x, 1), [F.squeeze(last, 1) for last in lasts]
        elif self.batch_first:
            x = F.transpose(x, 0, 1)
        return x, lasts[0] if len(lasts) == 1 else tuple(lasts)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not the default."""
        options = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        options |= {"bidirectional": False}
        given = {name: getattr(self, name) for name, default in options.items() if getattr(self, name) != default}
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *[f"{k}={v}" for k, v in given.items()]])


class LSTM(RNNBase):
    """Long short-term memory over a sequence, in one or more layers.

    In each step, with i, f, g, o = the four parts of x W_ih^T + b_ih + h W_hh^T + b_hh:
    c = sigmoid(f) c + sigmoid(i) tanh(g);   h = sigmoid(o) tanh(c).

    Parameters of layer k (`_reverse` for the way back): weight_ih_lk (4H, D or D' H), weight_hh_lk (4H, H), bias_ih_lk
    and bias_hh_lk (4H), uniform in +-1/sqrt(H), where D' is 2 if bidirectional, else 1. dropout: after each layer but
    the last, in training. proj_size P: h = (sigmoid(o) tanh(c)) W_hr^T with weight_hr_lk (P, H), so that h and the
    outputs have P features instead of H (Sak et al., 2014).
    Shape: input (T, N, D), (N, T, D) if batch_first, or (T, D); h_0 and c_0 (layers D', N, H), or (layers D', H), zeros
    if not given. Returns output (T, N, D' H), arranged like the input, and (h_n, c_n), shaped like h_0. For a
    `PackedSequence` (see `nn.utils.rnn`) output is one too, and the states are those at each sequence's own end.
    Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.

    >>> output, (h, c) = LSTM(10, 20, 2)(F.zeros(5, 3, 10))
    >>> output.shape, h.shape
    (minidl.Size([5, 3, 20]), minidl.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *options)


def _without_projection(where: str, others) -> None:
    for name in others:
        if name == "proj_size":
            raise ValueError(f"{where}: proj_size is an option of LSTM only")
        raise TypeError(f"{where}: unexpected argument {name!r}")


class GRU(RNNBase):
    """Gated recurrent units over a sequence, in one or more layers.

    In each step, with the three parts of x W_ih^T + b_ih and of h W_hh^T + b_hh:   r = sigmoid(x_r + h_r),
    z = sigmoid(x_z + h_z),   n = tanh(x_n + r h_n);   h = (1 - z) n + z h.

    Parameters, options and shapes are those of `LSTM` with 3H rows and one state: it takes h_0 and returns
    (output, h_n). Cho et al., 2014, with the reset gate after the product.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device=None,
        dtype=None,
        **others,
    ) -> None:
        _without_projection("GRU", others)
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *options)


class RNN(RNNBase):
    """The plain recurrent network: h = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh), or relu with nonlinearity='relu'.

    Parameters, options and shapes are those of `LSTM` with H rows and one state: it takes h_0 and returns
    (output, h_n). Elman, 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device=None,
        dtype=None,
        **others,
    ) -> None:
        _without_projection("RNN", others)
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(_nonlinear("RNN", nonlinearity), input_size, hidden_size, *options)
        self.nonlinearity = nonlinearity


class RNNCellBase(Module):
    """What the cells share: the parameters, and one step."""

    mode = "RNN_TANH"

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None) -> None:
        super().__init__()
        positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bool(bias)
        rows = num_chunks * hidden_size
        self.weight_ih = new_parameter((rows, input_size), device, dtype)
        self.weight_hh = new_parameter((rows, hidden_size), device, dtype)
        self.register_parameter("bias_ih", new_parameter((rows,), device, dtype) if bias else None)
        self.register_parameter("bias_hh", new_parameter((rows,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in +-1/sqrt(hidden_size)."""
        _reset(self, self.hidden_size)

    def forward(self, input: Tensor, hx=None) -> Any:
        """The next state (for LSTMCell both, as a tuple), from the state `hx` or from zeros."""
        where = type(self).__name__
        x = a_tensor(input, where)
        if x.array.ndim not in (1, 2):
            raise ValueError(f"{where}: expected input (N, D) or (D), got {tuple(x.shape)}")
        if x.array.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{where}: input has {x.array.shape[-1]} features, expected input_size {self.input_size} "
                f"(input is {tuple(x.shape)})"
            )
        same_dtype(x, self.weight_ih, where)
        names = _MODES[self.mode][1]
        states = _checked_states(where, hx, dict.fromkeys(names, (*x.array.shape[:-1], self.hidden_size)), x)
        if x.array.ndim == 1:
            x, states = F.unsqueeze(x, 0), [F.unsqueeze(state, 0) for state in states]
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        _, *lasts = _advance(self.mode, F.unsqueeze(x, 0), states, weights)
        if input.array.ndim == 1:
            lasts = [F.squeeze(last, 0) for last in lasts]
        return lasts[0] if len(names) == 1 else tuple(lasts)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not the default."""
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")
        return text + (", nonlinearity=relu" if self.mode == "RNN_RELU" else "")


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`: (h, c) from the input and (h, c), which are zeros if not given.

    Parameters: weight_ih (4H, D), weight_hh (4H, H), bias_ih and bias_hh (4H), uniform in +-1/sqrt(H).
    Shape: input (N, D) or (D); h and c (N, H) or (H).

    >>> h, c = LSTMCell(10, 20)(F.zeros(3, 10)); h.shape
    minidl.Size([3, 20])
    """

    mode = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)


class GRUCell(RNNCellBase):
    """One step of a `GRU`: h from the input and h, which is zero if not given.

    Parameters and shapes are those of `LSTMCell`, with 3H rows and one state.
    """

    mode = "GRU"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)


class RNNCell(RNNCellBase):
    """One step of an `RNN`: h from the input and h, which is zero if not given.

    Parameters and shapes are those of `LSTMCell`, with H rows and one state.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device=None,
        dtype=None,
    ) -> None:
        mode = _nonlinear("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.mode, self.nonlinearity = mode, nonlinearity
