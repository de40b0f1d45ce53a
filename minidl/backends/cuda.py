"""What PyTorch lets be chosen on GPUs: TF32 in products, off until it is switched on. The other switches keep what they
are set to and change nothing: half precision is added up in float32, and attention has one way of being computed."""

from __future__ import annotations

from .switches import ALLOW_TF32, Switches, within


class Products(Switches):
    """The switches of matrix products."""

    allow_tf32 = ALLOW_TF32


matmul = Products(allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True)
attention = Switches(flash=True, mem_efficient=True, math=True, cudnn=True)


def is_built() -> bool:
    """False: no CUDA is built in; see `minidl.cuda.is_available` for what CuPy finds."""
    return False


def sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Within the block, the four switches of attention have these values."""
    return within(
        vars(attention), flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn
    )


enable_flash_sdp, flash_sdp_enabled = attention.pair("flash", "flash attention may be used, a choice of speed")
enable_mem_efficient_sdp, mem_efficient_sdp_enabled = attention.pair(
    "mem_efficient", "attention in little memory may be used, a choice of speed"
)
enable_math_sdp, math_sdp_enabled = attention.pair("math", "attention by its formula may be used, a choice of speed")
enable_cudnn_sdp, cudnn_sdp_enabled = attention.pair("cudnn", "cuDNN's attention may be used, a choice of speed")
