"""Transfer: what a network learned from many images of some digits helps it to learn others from a few.

python examples/transfer_learning.py                      # MNIST, downloaded if it is not there
python examples/transfer_learning.py --dataset digits     # the 8x8 digits: to try the program

A convolutional network learns the digits 0 to 4 from all their images, and its weights are saved. For every seed, some
images of each of the digits 5 to 9 are drawn, and three networks learn these with the same number of steps: one from
scratch; one with the saved features, of which only the new last layer (the head) learns; and one with the saved
features that learns as a whole, each layer at a rate that is the smaller the further it is from the output (Howard and
Ruder, 2018), so that what is general changes little.

Seeds 0 to 4 with 5 labels of each new digit: 75.21% of the test images from scratch, 63.98% with only the head, 83.18%
as a whole, which is better than from scratch for each of the five seeds; in about 50 seconds on one core.

Transfer is no law: with `--dataset digits`, a few hundred images of 8x8 pixels, the network from scratch is the best.
"""

import argparse
import tempfile
from pathlib import Path

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import ToTensor

parser = argparse.ArgumentParser(description="Pre-train on some digits, fine-tune on others.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--labels", type=int, default=5, help="labelled images of each new digit")
parser.add_argument("--pretrain", type=int, default=800, help="steps on the old digits")
parser.add_argument("--steps", type=int, default=100, help="steps on the new ones")
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--decay", type=float, default=0.5, help="of the rate from each layer to the one before it")
parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
parser.add_argument("--save", help="where to keep the weights of the first network")
args = parser.parse_args()


def images(train):
    """The images and labels of the old digits, and those of the new ones, counted from 0."""
    if args.dataset == "mnist":
        x, y = MNIST(train=train, transform=ToTensor(), download=True).tensors()
    else:
        x, y = Digits(train=train, transform=ToTensor()).tensors()
    return (x[y < 5], y[y < 5]), (x[y >= 5], y[y >= 5] - 5)


(old_x, old_y), (new_x, new_y) = images(train=True)
(old_test_x, old_test_y), (new_test_x, new_test_y) = images(train=False)


class Net(nn.Module):
    """Features of an image, and a head that says which of the classes it is."""

    def __init__(self, classes):
        super().__init__()
        side = old_x.shape[-1] // 4
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * side * side, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.features(x))


def train(model, optimizer, x, y, steps):
    """Train on random batches; the loss of the last one."""
    model.train()
    for _ in range(steps):
        batch = minidl.randint(len(x), (min(64, len(x)),))
        loss = F.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def accuracy(model, x, y):
    model.eval()
    with minidl.no_grad():
        right = [
            (model(a).argmax(1) == b).float().sum().item() for a, b in zip(x.split(500), y.split(500), strict=True)
        ]
    return sum(right) / len(y)


def pretrained(file):
    """A new network with the features that were saved, and a head that is yet to learn."""
    model = Net(5)
    features = {name: value for name, value in minidl.load(file).items() if not name.startswith("head.")}
    missing, unexpected = model.load_state_dict(features, strict=False)
    # nothing may be missing but the head, and nothing may be left over; weights of another size raise in any case
    if set(missing) != {"head.weight", "head.bias"} or unexpected:
        raise SystemExit(f"{file} does not fit: missing {missing}, unexpected {unexpected}")
    return model


def new_digits(seed, file):
    """Test accuracies on the new digits, after the same steps: from scratch, only the head, and as a whole."""
    minidl.manual_seed(seed)
    order = minidl.randperm(len(new_y))
    few = minidl.cat([order[new_y[order] == digit][: args.labels] for digit in range(5)])
    x, y = new_x[few], new_y[few]

    scratch = Net(5)
    train(scratch, optim.Adam(scratch.parameters(), lr=args.lr), x, y, args.steps)

    head = pretrained(file)
    optim.freeze(head.features)
    train(head, optim.Adam(head.head.parameters(), lr=args.lr), x, y, args.steps)

    whole = pretrained(file)
    layers = [whole.features[0], whole.features[3], whole.features[7], whole.head]  # from input to output
    groups = optim.layerwise_rates(whole, lr=args.lr, decay=args.decay, layers=layers)
    train(whole, optim.Adam(groups), x, y, args.steps)
    return [accuracy(model, new_test_x, new_test_y) for model in (scratch, head, whole)]


with tempfile.TemporaryDirectory() as folder:
    file = args.save or str(Path(folder) / "features.safetensors")
    minidl.manual_seed(0)
    model = Net(5)
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    loss = train(model, optimizer, old_x, old_y, args.pretrain)
    minidl.save(model.state_dict(), file)
    print(f"digits 0 to 4: loss {loss:.4f}, test accuracy {accuracy(model, old_test_x, old_test_y):.2%}", flush=True)

    found = []
    for seed in range(args.seeds):
        found.append(new_digits(seed, file))
        scratch, head, whole = found[-1]
        print(
            f"seed {seed}: {5 * args.labels} labels, from scratch {scratch:.2%}, only the head {head:.2%}, "
            f"as a whole {whole:.2%}",
            flush=True,
        )
scratch, head, whole = [sum(column) / len(found) for column in zip(*found, strict=True)]
better = sum(b > a for a, _, b in found)
print(f"mean: {scratch:.2%}, {head:.2%} and {whole:.2%}; transfer is better in {better} of {len(found)} seeds")
