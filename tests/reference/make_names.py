"""Writes minidl/compat/torch_names.txt: PyTorch's public names with their arguments.

Run with PyTorch 2.13: python tests/reference/make_names.py. What has no documentation in PyTorch, or belongs to its
internals (types of TorchScript, kernels of one library), is left out.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import torch

MODULES = """
    torch torch.Tensor torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn
    torch.nn.utils.parametrize torch.nn.utils.parametrizations torch.optim torch.optim.lr_scheduler
    torch.optim.swa_utils torch.utils.data torch.utils.checkpoint torch.autograd torch.autograd.functional
    torch.func torch.autograd.graph torch.nn.attention torch.jit torch.hub torch.linalg torch.special
    torch.distributions torch.random torch.amp torch.cuda torch.accelerator torch.onnx torch.serialization
""".split()
# what `from torch import ...` gives, but is a helper of the files themselves, or for changing PyTorch's insides
INTERNAL = {
    "torch": r"(_|cudnn_|miopen_|mkldnn_|fbgemm_|quantized_|native_|fake_quantize|fused_moving|batch_norm_"
    r"|[A-Z]\w*Type$)|(\w+_copy|segment_reduce|dsmm|hsmm|saddmm|hspmm|sspaddmm|fork|wait|is_vulkan_available|init_num_threads"
    r"|parse_\w+|import_ir_module\w*|merge_type_\w+|unify_type_list|read_vitals|set_vital|vitals_enabled"
    r"|autocast_(in|de)crement_nesting|\w*autocast_(cpu|gpu|ipu|xla)\w*|clear_autocast_cache|prepare_\w+|profiler_\w+"
    r"|sym_\w+|Sym\w+|cond|while_loop|hash_tensor|typename|eval|compiled_with_\w+|get_file_path"
    r"|(U?Int|Q?U?Int\d*x?\d*|Bool|Byte|Char|Double|Float|Half|Long|Short|BFloat16|Complex\w+)Storage)$",
    "torch.nn.functional": r"(BroadcastingList\d|Callable|DType|GRID_\w+|Optional|ScalingType|SwizzleType|TYPE_CHECKING"
    r"|Tensor|assert_int_or_pair|boolean_dispatch|handle_torch_function|has_torch_function\w*|\w+_notes|importlib|math"
    r"|np|os|sys|warnings)$",
    "torch.nn.init": r"(Callable|Literal|ParamSpec|TypeVar|Tensor|math|warnings|torch|\w*[A-Z]\w*)$",
    "torch.Tensor": r"(_|\w*(mkldnn|crow|ccol|col_indices|row_indices|q_per|q_scale|q_zero|qscheme)\w*)",
    "torch.utils.data": r"(\w*DataPipe|DataChunk|argument_validation|functional_datapipe|\w*determini\w+|runtime_\w+)$",
    "torch.jit": r"(_|[A-Z]\w+)",
    "torch.hub": r"(_|[A-Z]\w*|Any|tqdm|urlopen|urlparse|uuid4)",
    "torch.cuda": r"(_|\w*Storage$|cudart|cudaStatus|check_error|CudaError|DeferredCudaCallError|has_\w+|default_gen)",
}
# modules that programs import or ask for by their names
PARTS = "ao fft futures fx library masked monitor multiprocessing nested overrides package profiler signal sparse"
FUNCTION_TYPES = (type(torch.add), type(torch.Tensor.add), type(torch._C._nn.gelu))


def arguments(name: str, value) -> list[str]:
    """The names of the arguments; of what is written in C those with defaults, as its documentation has them."""
    if isinstance(value, FUNCTION_TYPES) or (inspect.isroutine(value) and not inspect.isfunction(value)):
        found: list[str] = []
        for head in re.findall(rf"^\s*(?:\w+\.)*{name}\((.*?)\)(?: ->|\s*$)", value.__doc__ or "", re.M):
            head = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", head)  # defaults that are tuples
            for part in head.split(","):
                if (
                    "=" not in part
                ):  # what has no default goes by its place, and the documentation often errs in its name
                    continue
                word = re.sub(r"^[A-Za-z]+ (?=\w)", "", part.strip()).split("=")[0].split(":")[0].strip(" *")
                if word.isidentifier() and word not in found:
                    found.append(word)
        return found
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self"]


def public(path: str) -> dict[str, list[str]]:
    """The public names of a module (or of Tensor), with their arguments."""
    place = torch.Tensor if path == "torch.Tensor" else importlib.import_module(path)
    names = set(getattr(place, "__all__", ()) or dir(place))
    if path == "torch":
        names |= {n for n in dir(torch) if callable(getattr(torch, n)) or isinstance(getattr(torch, n), torch.dtype)}
    internal = re.compile(INTERNAL.get(path, r"_"))
    found: dict[str, list[str]] = dict.fromkeys(PARTS.split(), []) if path == "torch" else {}
    for name in sorted(names):
        value = getattr(place, name, None)
        if name.startswith("_") or internal.match(name) or value is None or inspect.ismodule(value):
            continue
        c_type = isinstance(value, type) and value.__module__ == "torch._C"
        if (
            c_type
            and path == "torch"
            and name not in ("Generator", "Size", "device", "dtype", "layout", "memory_format")
        ):
            continue
        silent = not c_type and callable(value) and not value.__doc__
        if silent and (path == "torch" or (path == "torch.Tensor" and not hasattr(torch, name))):
            continue
        if path not in ("torch", "torch.Tensor") and getattr(value, "__module__", "").split(".")[0] in (
            "typing",
            "collections",
        ):
            continue
        found[name] = arguments(name, value)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    lines = [
        f"# PyTorch {torch.__version__.split('+')[0]}: public names and arguments, by tests/reference/make_names.py"
    ]
    for path in MODULES:
        lines += ["", f"[{path}]", *(f"{name}({', '.join(words)})" for name, words in public(path).items())]
    target = Path(__file__).resolve().parents[2] / "minidl" / "compat" / "torch_names.txt"
    target.write_text("\n".join(lines) + "\n")
    print(f"{target}: {sum(not line.startswith(('#', '[')) and bool(line) for line in lines)} names")
