"""Dropout (Srivastava et al., 2014) against over-fitting: a perceptron much too big for 500 images, trained with and
without. The picture shows training and test loss of both: without dropout, the test loss turns and grows.

python examples/dropout.py                    # 500 images of MNIST, writes dropout.png
python examples/dropout.py --dataset digits   # 500 of the 8x8 digits that are part of minidl

Seed 0: without dropout the test loss ends at 0.8230 (lowest: 0.6347 in epoch 4) and the test accuracy at 83.68%, with
dropout of 0.5 at 0.5338 (lowest: 0.4770 in epoch 52) and 85.90%; in about 40 seconds on one core.
"""

import argparse

import matplotlib.pyplot as plt

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import ToTensor

parser = argparse.ArgumentParser(description="Show what dropout does against over-fitting.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--samples", type=int, default=500, help="size of the training set")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--width", type=int, default=800, help="neurons in each hidden layer")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="dropout.png", help="where the picture is written")
args = parser.parse_args()
plt.switch_backend("Agg")  # draw into files, not on a screen

if args.dataset == "mnist":
    train_data = MNIST(train=True, transform=ToTensor(), download=True)
    test_data = MNIST(train=False, transform=ToTensor(), download=True)
else:
    train_data, test_data = Digits(True, ToTensor()), Digits(False, ToTensor())
minidl.manual_seed(args.seed)
chosen = minidl.randperm(len(train_data))[: args.samples]
x, y = (t[chosen] for t in train_data.tensors())
test_x, test_y = (t[:5000] for t in test_data.tensors())


def measure(model, inputs, labels):
    """Loss and accuracy with nothing dropped."""
    model.eval()
    with minidl.no_grad():
        logits = model(inputs)
    return F.cross_entropy(logits, labels).item(), (logits.argmax(dim=1) == labels).float().mean().item()


def train(p):
    """Train with dropout probability p; the training and the test loss after each epoch, and the final accuracy."""
    minidl.manual_seed(args.seed)  # the same weights and the same batches for every p
    model = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(p),  # of pixels; the others are of neurons
        nn.Linear(x[0].numel(), args.width),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(args.width, args.width),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(args.width, 10),
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    curve = []
    for _ in range(args.epochs):
        model.train()  # dropout is on
        for batch in minidl.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        train_loss, _ = measure(model, x, y)
        test_loss, accuracy = measure(model, test_x, test_y)
        curve.append((train_loss, test_loss))
    return curve, accuracy


figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for ax, p in zip(axes, [0.0, 0.5], strict=True):
    curve, accuracy = train(p)
    train_losses, test_losses = zip(*curve, strict=True)
    best = min(test_losses)
    name = f"dropout {p}" if p else "no dropout"
    print(
        f"{name}: training loss {train_losses[-1]:.4f}, test loss {test_losses[-1]:.4f} "
        f"(lowest {best:.4f} in epoch {test_losses.index(best) + 1}), test accuracy {accuracy:.2%}",
        flush=True,
    )
    epochs = range(1, args.epochs + 1)
    ax.plot(epochs, test_losses, label="test", color="tab:orange")
    ax.plot(epochs, train_losses, label="training", color="tab:blue")
    ax.set(title=f"{name}: test accuracy {accuracy:.1%}", xlabel="epoch")
    ax.grid(alpha=0.3)
    ax.legend()
axes[0].set(ylabel="cross-entropy", ylim=(0, None))
figure.suptitle(f"{args.samples} training images, two hidden layers of {args.width}")
figure.savefig(args.picture, dpi=120)
print(f"picture: {args.picture}")
