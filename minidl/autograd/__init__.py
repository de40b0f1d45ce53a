"""Derivatives: `backward` and `grad`, `Function` for those of one's own, `functional`, `gradcheck`, and the modes."""

from ..modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_detect_anomaly, set_grad_enabled
from . import anomaly_mode, function, functional, grad_mode, graph, variable
from .function import Function
from .gradcheck import gradcheck, gradgradcheck
from .gradients import backward, grad
from .variable import Variable

__all__ = ["Function", "Variable", "anomaly_mode", "backward", "detect_anomaly", "enable_grad", "function"]
__all__ += ["functional", "grad", "grad_mode", "gradcheck", "gradgradcheck", "graph", "inference_mode", "no_grad"]
__all__ += ["set_detect_anomaly", "set_grad_enabled", "variable"]
