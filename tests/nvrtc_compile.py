"""Compile kernels for GPUs that are not here: CuPy's own text around each body, and what NVRTC says; no driver needed.

`python tests/nvrtc_compile.py sm_90 < kernels.json`, in an environment with the extra `nvrtc`; it prints a JSON list of
(kernel, types, log) of those that were refused. Exit code 3: CuPy, NVRTC or CUDA's headers are not installed.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import json
import sys
from pathlib import Path

HEADERS = ("complex.cuh", "carray.cuh", "atomics.cuh", "math_constants.h")  # what CuPy puts before every kernel
NDARRAY, INDEXER, SCALAR = 1, 2, 3  # CuPy's kinds of arguments


def nvidia(pattern: str) -> list[str]:
    """Files and folders of NVIDIA's wheels."""
    found = importlib.util.find_spec("nvidia")
    return [
        path for root in (found.submodule_search_locations if found else []) for path in glob.glob(f"{root}/{pattern}")
    ]


def load():
    """CuPy and its binding of NVRTC, or exit code 3."""
    for library in sorted(nvidia("cuda_nvrtc/lib/libnvrtc*.so*") + nvidia("cu*/lib/libnvrtc*.so*")):
        if ".alt." not in library:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    try:
        import cupy
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
    if not nvidia("cuda_runtime/include/cuda_fp16.h") + nvidia("cu*/include/cuda_fp16.h"):
        print("CUDA's headers (nvidia-cuda-runtime) are not installed", file=sys.stderr)
        sys.exit(3)
    return cupy, nvrtc


cupy, nvrtc = load()
import numpy as np  # noqa: E402
from cupy._core import _carray, _kernel, _reduction, _scalar  # noqa: E402


def _argument(parameter, types: dict[str, str]):
    """How CuPy describes an argument: letters and `raw` mean dense arrays, the rest scalars."""
    if parameter.dtype is not None and not parameter.raw:
        return _kernel._ArgInfo(SCALAR, _scalar.CScalar, parameter.dtype, 0, True, True)
    return _array(parameter, types)


def _array(parameter, types: dict[str, str]):
    dtype = np.dtype(types[parameter.ctype]) if parameter.dtype is None else parameter.dtype
    return _kernel._ArgInfo(NDARRAY, cupy.ndarray, dtype, 1, True, True)


def _indexer():
    return _kernel._ArgInfo(INDEXER, _carray.Indexer, None, 1, True, True)


def _int():
    return _kernel._ArgInfo(SCALAR, _scalar.CScalar, np.dtype("int32"), 0, True, True)


def _map(types: dict[str, str], **more: str):
    return _kernel._TypeMap(tuple(sorted((k, np.dtype(v)) for k, v in (types | more).items())))


def source(name: str, kind: str, arguments: list, types: dict[str, str]) -> str:
    """The text that CuPy would compile."""
    if kind == "elementwise":
        ins, outs, body, preamble = arguments
        kernel = cupy.ElementwiseKernel(ins, outs, body, name, preamble=preamble)
        given = [_argument(p, types) for p in kernel.in_params] + [_array(p, types) for p in kernel.out_params]
        text = _kernel._get_elementwise_kernel_code(
            (*given, _indexer()), _map(types), kernel.params, body, name, preamble
        )
    else:
        ins, outs, each, both, after, identity, of, preamble = arguments
        kernel = cupy.ReductionKernel(ins, outs, each, both, after, identity, name, reduce_type=of, preamble=preamble)
        given = [_argument(p, types) for p in kernel.in_params] + [_array(p, types) for p in kernel.out_params]
        last = [_kernel.ParameterInfo(f"CIndexer {n}", False) for n in ("_in_ind", "_out_ind")]
        parameters = (*kernel.in_params, *kernel.out_params, *last, _kernel.ParameterInfo("int32 _block_stride", True))
        text = _reduction._ReductionKernel_get_cached_function_code(
            len(kernel.in_params), len(kernel.out_params), parameters, (*given, _indexer(), _indexer(), _int()),
            _map(types, IndexT="int32"), name, 512, of, identity, each, both, after, preamble, (),
        )  # fmt: skip
    return "".join(f"#include <cupy/{header}>\n" for header in HEADERS) + text


def refusal(text: str, arch: str) -> str | None:
    """NVRTC's log where it refuses the text."""
    own = Path(cupy.__file__).parent / "_core/include"
    folders = [own, *[own / "cupy/_cccl" / part for part in ("cub", "thrust", "libcudacxx")]]
    folders += nvidia("cuda_runtime/include") + nvidia("cu*/include")
    options = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space", f"-arch={arch}")
    program = nvrtc.createProgram(text, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, *[f"-I{folder}" for folder in folders]))
        return None if len(nvrtc.getCUBIN(program)) > 100 else "it gave nothing"
    except nvrtc.NVRTCError as error:
        return f"{error}\n{nvrtc.getProgramLog(program)}"
    finally:
        nvrtc.destroyProgram(program)


def main() -> None:
    refused = []
    for name, kind, arguments, combinations in json.load(sys.stdin):
        for types in combinations:
            log = refusal(source(name, kind, arguments, types), sys.argv[1])
            if log is not None:
                refused.append((name, types, log))
    print(json.dumps(refused))


if __name__ == "__main__":
    main()
