"""Scaling the loss, so that small gradients survive in float16 (Micikevicius et al., 2018)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import BACKENDS, backend_of, get_backend
from ..modes import mode
from ..tensor import Tensor


class GradScaler:
    """Multiplies the loss by a scale, divides the gradients by it, and leaves a step out where one is not finite.

    The scale grows by growth_factor after growth_interval steps without such a gradient, and shrinks by backoff_factor
    after one. As in PyTorch the scale is float32, gradients must not be float16, which may have lost what scaling is to
    keep, and `step` waits for a GPU once, to hear whether the gradients are finite. Works on any device; enabled=False
    passes everything through. A scaler for 'cuda' without a GPU is switched off with a warning.

    >>> w = minidl.nn.Parameter(minidl.tensor([1.0])); opt = minidl.optim.SGD([w], lr=0.5)
    >>> scaler = GradScaler("cpu", init_scale=4.0)
    >>> scaler.scale((w * w).sum()).backward(); w.grad
    tensor([8.])
    >>> scaler.step(opt); scaler.update(); w.data
    tensor([0.])
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device, self._enabled = device, bool(enabled)
        if enabled:
            try:
                get_backend(device)
            except RuntimeError as error:
                warnings.warn(f"GradScaler is switched off: {error}", UserWarning, stacklevel=2)
                self._enabled = False
        if self._enabled and not (growth_factor > 1 and 0 < backoff_factor < 1):
            raise ValueError(
                f"GradScaler: expected growth_factor > 1 and 0 < backoff_factor < 1, "
                f"got {growth_factor} and {backoff_factor}"
            )
        self._scale, self._growth_factor, self._backoff_factor = float(init_scale), growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        # for each optimizer since the last update: was a gradient not finite? A list of arrays, until it is asked for
        self._found: dict[int, bool | list] = {}
        self._stepped: set[int] = set()

    def scale(self, outputs):
        """The Tensor, or each in a list or tuple, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if outputs.array.dtype != np.float16:
                return outputs * self._scale
            y = outputs.float() * self._scale  # the scale does not fit into float16, and a loss times it may not
            return y if outputs.ndim == 0 else y.to(outputs.dtype)
        if isinstance(outputs, Iterable):
            found = [self.scale(x) for x in outputs]
            return type(outputs)(found) if isinstance(outputs, (list, tuple)) else found
        raise ValueError(f"scale: expected a Tensor or several, got {type(outputs).__name__}")

    def unscale_(self, optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale now, as before clipping them; once a step."""
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        self._found[id(optimizer)] = self._unscaled(optimizer)

    def _unscaled(self, optimizer) -> list:
        """Divide the gradients; arrays on their devices that say whether they are finite, which nobody reads yet.

        Those on a GPU are asked together: their norm, of squares added up in double precision, is a few launches.
        """
        recording, mode.grad = mode.grad, False
        try:
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if not gradients:
                raise AssertionError("No inf checks were recorded for this optimizer: no parameter has a gradient.")
            if any(g.array.dtype == np.float16 for g in gradients):
                raise ValueError("Attempting to unscale FP16 gradients.")  # they may have lost what scaling kept
            finite: list = []
            together: dict[Any, list] = {}
            for g in gradients:
                g.mul_(1.0 / self._scale)
                B = backend_of(g.array)
                if g.is_sparse or isinstance(g.array, np.ndarray) or g.array.dtype != np.float32:
                    finite.append(B.all(B.isfinite(g.array)))
                else:
                    together.setdefault(B.device_of(g.array), []).append(g.array)
            for arrays in together.values():
                B = backend_of(arrays[0])
                finite.append(B.isfinite(B.joint_norm(arrays, 2)))
        finally:
            mode.grad = recording
        return finite

    def _infinite(self, key: int) -> bool:
        """Whether a gradient was not finite: the one time in a step that the host waits for the device."""
        found = self._found[key]
        if isinstance(found, list):
            devices: dict[Any, list] = {}
            for flag in found:  # NumPy's are no arrays
                where = backend_of(flag).device_of(flag) if flag.__class__ in BACKENDS else None
                devices.setdefault(where, []).append(flag)
            found = self._found[key] = not all(_all(flags) for flags in devices.values())
        return found

    def step(self, optimizer, *args, **kwargs):
        """`optimizer.step(...)`, unless a gradient is not finite; what it returns, or None."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._infinite(id(optimizer)) else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """After the steps of all optimizers: a new scale, the given one or by the rule."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._infinite(key) for key in list(self._found)):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale, self._growth_tracker = self._scale * self._growth_factor, 0
        self._found, self._stepped = {}, set()

    # its settings
    def get_scale(self) -> float:
        """The scale; 1 if it is switched off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by what the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by what the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it is switched on."""
        return self._enabled

    # its state
    def state_dict(self) -> dict[str, Any]:
        """The scale, its rule, and the steps since it changed; empty if it is switched off."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("load_state_dict: the state is empty: it is that of a GradScaler that was switched off")
        self._scale, self._growth_tracker = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]


def _all(flags: list) -> bool:
    """Whether all are true, of arrays on one device, or of NumPy's scalars."""
    if flags[0].__class__ not in BACKENDS:
        return all(flags)
    B = backend_of(flags[0])
    return bool(B.all(B.stack(flags)))
