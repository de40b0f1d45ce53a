"""What an initialisation does to a deep network: the spread of activations and the size of gradients, layer by layer,
in a perceptron of 20 layers, for four activations and three initialisations; then the loss after some training.

python examples/activations.py                    # MNIST, writes activations.png
python examples/activations.py --dataset digits   # the 8x8 digits that are part of minidl

Weights are normal with variance 1e-4 ("small"), 2 / (in + out) ("xavier"; Glorot and Bengio, 2010) or 2 / in ("he"; He
et al., 2015). ReLU halves the second moment of what passes, so it needs the 2. SELU (Klambauer et al., 2017) keeps mean
0 and variance 1 if the weights have a variance of 1 / in, as "xavier" has in square layers, and explodes with more.
With small weights the signal dies out on its way, so the gradient does too, and nothing is learned.

Seed 0, loss after 300 steps, in about 40 seconds on one core (2.303 is guessing, nan that training blew up):

          small   xavier       he
tanh      2.301    0.313    0.301
relu      2.301    1.743    0.499
selu      2.301    0.467      nan
gelu      2.301    2.301    0.665
"""

import argparse
import math

import matplotlib.pyplot as plt

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import Compose, Normalize, ToTensor

parser = argparse.ArgumentParser(description="Compare activations and initialisations of a deep perceptron.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--depth", type=int, default=20, help="hidden layers")
parser.add_argument("--width", type=int, default=128, help="neurons in each")
parser.add_argument("--steps", type=int, default=300, help="training steps for the table")
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="activations.png", help="where the picture is written")
args = parser.parse_args()
plt.switch_backend("Agg")  # draw into files, not on a screen

transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
data = MNIST(train=True, transform=transform, download=True) if args.dataset == "mnist" else Digits(True, transform)
x, y = data.tensors()
x = x.flatten(1)

ACTIVATIONS = {"tanh": minidl.tanh, "relu": F.relu, "selu": F.selu, "gelu": F.gelu}
INITIALISATIONS = {
    "small": lambda w: nn.init.normal_(w, 0.0, 0.01),
    "xavier": nn.init.xavier_normal_,
    "he": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}
COLORS = {"small": "tab:blue", "xavier": "tab:orange", "he": "tab:green"}


class DeepMLP(nn.Module):
    """Many layers of the same width, one activation, one initialisation; biases start at 0."""

    def __init__(self, activation, initialise):
        super().__init__()
        widths = [x.shape[1], *[args.width] * args.depth]
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)])
        self.last = nn.Linear(args.width, 10)
        self.activation = activation
        for layer in [*self.hidden, self.last]:
            initialise(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h, record=None):
        for layer in self.hidden:
            h = self.activation(layer(h))
            if record is not None:
                record.append((h.mean().item(), h.std().item()))
        return self.last(h)


figure, axes = plt.subplots(2, len(ACTIVATIONS), figsize=(14, 6.5), layout="constrained", sharex=True, sharey="row")
print(f"loss after {args.steps} steps (guessing: {minidl.tensor(10.0).log().item():.3f})")
print("      " + "".join(f"{name:>9}" for name in INITIALISATIONS))
for column, (act_name, activation) in enumerate(ACTIVATIONS.items()):
    print(f"{act_name:<6}", end="")
    for init_name, initialise in INITIALISATIONS.items():
        minidl.manual_seed(args.seed)
        model = DeepMLP(activation, initialise)

        # at initialisation: activations and gradients of one batch; a weight's gradient is what comes in times what
        # comes back, one of which shrinks as the other grows, so that its norm is much the same in all layers
        record = []
        F.cross_entropy(model(x[:500], record), y[:500]).backward()
        mean, std = (minidl.tensor(v).numpy() for v in zip(*record, strict=True))
        norms = [layer.weight.grad.double().norm().item() or math.nan for layer in model.hidden]  # 0 has no logarithm
        layers, color = range(1, args.depth + 1), COLORS[init_name]
        axes[0, column].plot(layers, mean, color=color, label=init_name)
        axes[0, column].fill_between(layers, mean - std, mean + std, color=color, alpha=0.2)
        axes[1, column].semilogy(layers, norms, color=color, label=init_name)

        # then training; the mean loss of the last 20 steps goes to the table
        optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
        losses = []
        for _ in range(args.steps):
            batch = minidl.randint(len(x), (64,))
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"{sum(losses[-20:]) / len(losses[-20:]):9.3f}", end="", flush=True)
    print()
    axes[0, column].set_title(act_name)
    axes[1, column].set_xlabel("layer")
axes[0, 0].set(ylabel="activation: mean and standard deviation", ylim=(-3, 3))
axes[1, 0].set_ylabel("norm of the weight's gradient")
axes[0, 0].legend(loc="upper right")
for ax in axes.flat:
    ax.grid(alpha=0.3)
figure.suptitle(f"A perceptron of {args.depth} layers at initialisation")
figure.savefig(args.picture, dpi=110)
print(f"picture: {args.picture}")
