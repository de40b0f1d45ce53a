"""Newton's method on a small network: second derivatives as products with vectors, never as a matrix.

python examples/newton.py                 # fits a curve, writes newton.png

Newton's step d solves H d = -g, with the gradient g and the Hessian matrix H of the loss. The method of conjugate
gradients needs only products H v, and H v is the gradient of the number <g, v> (Pearlmutter, 1994): one more backward
through the backward. Where the curvature v H v is negative the iteration stops, and how far to go along d is tried
(Martens, 2010). What is compared is the loss after the same number of backward passes: gradient descent spends one on
each step, and Newton's method one on the gradient and two on each product (each goes through forward and backward).

Seed 0: after 3,000 passes a mean squared error of 1.794e-03 with gradient descent, 9.418e-06 with Adam, and 2.566e-07
with Newton's method, which took 130 steps, in nine seconds on one core.
"""

import argparse

import matplotlib.pyplot as plt

import minidl
from minidl import nn, optim
from minidl.nn.utils import parameters_to_vector, vector_to_parameters

parser = argparse.ArgumentParser(description="Compare Newton's method with gradient descent and Adam.")
parser.add_argument("--passes", type=int, default=3000, help="backward passes for each method")
parser.add_argument("--products", type=int, default=30, help="products with the Hessian matrix for a step, at most")
parser.add_argument("--width", type=int, default=12, help="units in each of the two hidden layers")
parser.add_argument("--lr", type=float, default=0.1, help="rate of gradient descent; Adam's is a tenth of it")
parser.add_argument("--damping", type=float, default=1e-6, help="added to the diagonal of the Hessian matrix")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="newton.png", help="where the losses and the fits are drawn")
args = parser.parse_args()
plt.switch_backend("Agg")  # draw into files, not on a screen
minidl.set_default_dtype(minidl.float64)

x = minidl.linspace(-2, 2, 100).unsqueeze(1)
y = minidl.sin(3 * x) * minidl.exp(-x * x / 2)


def network():
    """The same network, with the same initial weights, for each method."""
    minidl.manual_seed(args.seed)
    w = args.width
    return nn.Sequential(nn.Linear(1, w), nn.Tanh(), nn.Linear(w, w), nn.Tanh(), nn.Linear(w, 1))


def loss_of(model):
    """The mean squared error."""
    return ((model(x) - y) ** 2).mean()


def descend(optimizer, model):
    """(passes, loss) of an optimizer that needs one backward for a step."""
    found = []
    for step in range(1, args.passes + 1):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        found.append((step, loss.item()))
    return found


def solve(product, g):
    """Conjugate gradients for H d = -g; returns d and the number of products."""
    d, residual = minidl.zeros_like(g), -g
    direction, size = residual, residual @ residual
    goal = min(0.5, size.sqrt().sqrt().item()) ** 2 * size  # the nearer the minimum, the more exactly
    for k in range(args.products):
        bent = product(direction)
        curvature = direction @ bent
        if curvature <= 0:  # not a valley along this direction: keep what there is, at least downhill
            return (-g if k == 0 else d), k + 1
        length = size / curvature
        d, residual = d + length * direction, residual - length * bent
        new = residual @ residual
        if new < goal:
            break
        direction, size = residual + new / size * direction, new
    return d, k + 1


def newton(model):
    """(passes, loss) of Newton's method with conjugate gradients and a line search."""
    parameters, found, passes = list(model.parameters()), [], 0
    while passes < args.passes:
        loss = loss_of(model)
        gradients = minidl.autograd.grad(loss, parameters, create_graph=True)
        slope = minidl.cat([g.flatten() for g in gradients])
        found.append((passes + 1, loss.item()))

        def product(v, slope=slope):
            """H v + damping v: the gradient of <g, v>."""
            bent = minidl.autograd.grad(slope @ v, parameters, retain_graph=True)
            return minidl.cat([h.flatten() for h in bent]) + args.damping * v

        g = slope.detach()
        d, products = solve(product, g)
        passes += 1 + 2 * products
        with minidl.no_grad():
            start, length = parameters_to_vector(parameters), 1.0
            for _ in range(20):
                vector_to_parameters(start + length * d, parameters)
                if loss_of(model) <= loss + 1e-4 * length * (g @ d):
                    break
                length /= 2
    return found


models = {"gradient descent": network(), "Adam": network(), "Newton": network()}
descent, adam = list(models.values())[:2]
losses = {
    "gradient descent": descend(optim.SGD(descent.parameters(), lr=args.lr), descent),
    "Adam": descend(optim.Adam(adam.parameters(), lr=args.lr / 10), adam),
    "Newton": newton(models["Newton"]),
}
for name, found in losses.items():
    steps = f"{len(found)} steps"
    print(f"{name}: loss {found[0][1]:.4f} at first, {loss_of(models[name]).item():.3e} after {steps}")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for name, found in losses.items():
    left.semilogy(*zip(*found, strict=True), label=f"{name} ({len(found)} steps)")
left.set(xlabel="backward passes", ylabel="mean squared error", title="the loss")
left.legend()
right.plot(x.numpy(), y.numpy(), color="black", linewidth=4, alpha=0.25, label="the curve")
for name, model in models.items():
    right.plot(x.numpy(), model(x).detach().numpy(), label=name)
right.set(xlabel="x", ylabel="y", title=f"the fits after {args.passes} passes")
right.legend()
figure.savefig(args.picture, dpi=100)
print(f"picture: {args.picture}")
