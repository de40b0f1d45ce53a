"""Models from vit-pytorch and x-transformers, small, with the same made-up weights everywhere: two training steps."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

VISION = dict(image_size=32, patch_size=8, num_classes=5, dim=16, depth=2, heads=2, mlp_dim=32)
MODELS: dict[str, Callable[[], tuple]] = {}  # each gives a model and its inputs


def images(*shape: int):
    import torch

    return torch.tensor(np.random.RandomState(2).randn(*(shape or (2, 3, 32, 32))))


def tokens():
    import torch

    return torch.tensor(np.random.RandomState(3).randint(0, 20, (2, 16)))


def vision(module: str, name: str, **options: Any) -> None:
    """Enter a model of vit-pytorch."""
    MODELS[f"vit_pytorch.{module}"] = lambda: (
        getattr(importlib.import_module(f"vit_pytorch.{module}"), name)(**options),
        (images(),),
    )


def decoder(label: str, wrapper: dict[str, Any] | None = None, **options: Any) -> None:
    """Enter a decoder of x-transformers that predicts the next token."""

    def build():
        from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

        layers = Decoder(dim=16, depth=2, heads=2, attn_dim_head=8, **options)
        net = TransformerWrapper(num_tokens=20, max_seq_len=16, attn_layers=layers, **(wrapper or {}))
        return AutoregressiveWrapper(net), (tokens(),)

    MODELS[f"x_transformers.{label}"] = build


vision("vit", "ViT", **VISION)
vision("simple_vit", "SimpleViT", **VISION)
vision("deepvit", "DeepViT", **VISION)
vision("parallel_vit", "ViT", **VISION, num_parallel_branches=2)
vision("vit_for_small_dataset", "ViT", **VISION)
vision("simple_vit_with_qk_norm", "SimpleViT", **VISION)
vision("normalized_vit", "nViT", **VISION)
vision("cait", "CaiT", **(VISION | {"cls_depth": 1}))
vision(
    "cross_vit", "CrossViT", image_size=32, num_classes=5, depth=1, sm_dim=16, sm_patch_size=8, sm_enc_depth=1,
    sm_enc_heads=2, sm_enc_mlp_dim=16, lg_dim=16, lg_patch_size=16, lg_enc_depth=1, lg_enc_heads=2,
    lg_enc_mlp_dim=16, cross_attn_depth=1, cross_attn_heads=2,
)  # fmt: skip
vision("pit", "PiT", image_size=32, patch_size=8, dim=16, num_classes=5, depth=(1, 1), heads=2, mlp_dim=16)
vision(
    "nest", "NesT", image_size=32, patch_size=4, dim=16, heads=2, num_hierarchies=2, block_repeats=(1, 1), num_classes=5
)
decoder("plain")
decoder("rotary", rotary_pos_emb=True)
decoder("alibi", alibi_pos_bias=True)
decoder("relative", rel_pos_bias=True)
decoder("flash", attn_flash=True)
decoder("rmsnorm", use_rmsnorm=True, ff_glu=True, ff_swish=True)
decoder("one key and value head", attn_kv_heads=1)
decoder("normed queries", attn_qk_norm=True)
decoder("memory", attn_num_mem_kv=4)
decoder("gated residual", gate_residual=True)
decoder("tied", {"tie_embedding": True})


def both_halves():
    """An encoder and a decoder of x-transformers."""
    from x_transformers import XTransformer

    sizes = dict(num_tokens=20, depth=1, heads=2, max_seq_len=16)
    both = {f"{part}_{key}": value for part in ("enc", "dec") for key, value in sizes.items()}
    return XTransformer(dim=16, **both), (tokens(), tokens())


MODELS["x_transformers.encoder and decoder"] = both_halves


def fill(model) -> None:
    """Weights that depend on their names alone; what the model sets to one number stays as it is."""
    import torch

    with torch.no_grad():
        for name, p in model.named_parameters():
            value = p.detach().numpy()
            if value.ndim <= 1 and (value == value.flat[0]).all():
                continue
            fan = int(np.prod(value.shape[1:])) if value.ndim > 1 else value.size
            random = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
            p.copy_(torch.tensor(np.asarray(random.randn(*value.shape)) / fan**0.5))


def size_of(y):
    """A number that depends on every output: the mean square, or the loss if that is what the model gives."""
    return y if y.ndim == 0 else y.pow(2).mean()


def run(build: Callable[[], tuple]) -> np.ndarray:
    """In float64: the loss before and after a step of SGD, and the sum of the gradients' sizes."""
    import torch

    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model, inputs = build()
        model.eval()  # without dropout
        fill(model)
        optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.05), []
        for _ in range(2):
            optimizer.zero_grad()
            loss = size_of(model(*inputs))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        gradients = [float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None]
        return np.array([*losses, sum(gradients)])
    finally:
        torch.set_default_dtype(torch.float32)


def tried() -> dict[str, np.ndarray | str]:
    """What `run` gives for every model, or what it raised."""
    results: dict[str, np.ndarray | str] = {}
    for name, build in MODELS.items():
        try:
            results[name] = run(build)
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    return results
