"""A Wasserstein GAN with gradient penalty (Gulrajani et al., 2017): the critic's loss contains the norm of its own
gradient, so its update is a second derivative.

python examples/wgan_gp.py                # eight points on a circle, writes wgan_gp.png

The critic f estimates the earth mover's distance between real and generated points, E f(real) - E f(fake), which holds
for functions of slope 1 at most. So its loss adds how far |df/dx| is from 1 at points between real and generated ones,
lambda (|df/dx| - 1)^2. Unlike the loss of the classical GAN, the distance falls while the generator learns.

Seed 0: the gradient norm goes from 0.073 to 1.071 and the distance, once the critic has learned, from 0.490 to 0.112;
the generator reaches all eight points, and 72.9% of what it makes is within 0.4 of one; 25 seconds on one core.
"""

import argparse
import math

import matplotlib.pyplot as plt

import minidl
from minidl import nn, optim

parser = argparse.ArgumentParser(description="Train a Wasserstein GAN with gradient penalty on points in the plane.")
parser.add_argument("--steps", type=int, default=1000, help="updates of the generator")
parser.add_argument("--critic-steps", type=int, default=5, help="updates of the critic for each of the generator")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--width", type=int, default=64, help="units in a hidden layer")
parser.add_argument("--penalty", type=float, default=1.0, help="lambda, the weight of the gradient penalty")
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="wgan_gp.png", help="where the points and the critic are drawn")
args = parser.parse_args()
minidl.manual_seed(args.seed)
plt.switch_backend("Agg")  # draw into files, not on a screen

CENTRES = minidl.tensor([[2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)] for k in range(8)])


def real_points(n):
    """Points around one of the eight centres, with a standard deviation of 0.1."""
    return CENTRES[minidl.randint(0, 8, (n,))] + 0.1 * minidl.randn(n, 2)


def network(outputs):
    """A perceptron from the plane."""
    w = args.width
    return nn.Sequential(
        nn.Linear(2, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, outputs)
    )


def gradient_norms(x):
    """|df/dx| of the critic at each point, as something that can itself be differentiated."""
    x = x.detach().requires_grad_()
    (g,) = minidl.autograd.grad(critic(x).sum(), x, create_graph=True)
    return g.norm(dim=1)


generator, critic = network(2), network(1)
optimizer_g = optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.9))
optimizer_c = optim.Adam(critic.parameters(), lr=args.lr, betas=(0.5, 0.9))
decay = 1 / args.steps  # both rates fall to zero in a straight line
schedulers = [optim.lr_scheduler.LambdaLR(o, lambda k: max(1 - k * decay, 0.0)) for o in (optimizer_g, optimizer_c)]

for step in range(1, args.steps + 1):
    for _ in range(args.critic_steps):
        real = real_points(args.batch_size)
        with minidl.no_grad():
            fake = generator(minidl.randn(args.batch_size, 2))
        t = minidl.rand(args.batch_size, 1)
        norms = gradient_norms(t * real + (1 - t) * fake)
        distance = critic(real).mean() - critic(fake).mean()
        loss = -distance + args.penalty * ((norms - 1) ** 2).mean()
        optimizer_c.zero_grad()
        loss.backward()
        optimizer_c.step()
    loss = -critic(generator(minidl.randn(args.batch_size, 2))).mean()
    optimizer_g.zero_grad()
    loss.backward()
    optimizer_g.step()
    for scheduler in schedulers:
        scheduler.step()
    if step == 1 or step % max(args.steps // 6, 1) == 0:
        print(f"step {step}: distance {distance.item():.3f}, gradient norm {norms.mean().item():.3f}", flush=True)

with minidl.no_grad():
    fake = generator(minidl.randn(2000, 2))
away = (fake.unsqueeze(1) - CENTRES).norm(dim=2)
nearest, which = away.min(dim=1)
reached = (minidl.bincount(which[nearest < 0.4], minlength=8) >= 50).sum().item()
print(
    f"centres reached: {reached} of 8, generated points within 0.4 of one: {(nearest < 0.4).float().mean().item():.1%}"
)

ticks = minidl.linspace(-3, 3, 80)
x, y = minidl.meshgrid(ticks, ticks, indexing="xy")
with minidl.no_grad():
    heights = critic(minidl.stack([x.flatten(), y.flatten()], dim=1)).view(80, 80)
figure, ax = plt.subplots(figsize=(6.4, 6), layout="constrained")
levels = ax.contourf(x.numpy(), y.numpy(), heights.numpy(), levels=20, cmap="RdBu_r", alpha=0.7)
figure.colorbar(levels, label="critic: higher is more real")
real = real_points(500)
ax.scatter(*real.T.numpy(), s=4, color="black", label="real")
ax.scatter(*fake[:500].T.numpy(), s=4, color="limegreen", label="generated")
ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title=f"after {args.steps} steps of the generator")
ax.legend(loc="upper right")
figure.savefig(args.picture, dpi=100)
print(f"picture: {args.picture}")
