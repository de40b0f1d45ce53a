"""Semi-supervised learning with pseudo-labels (Lee, 2013) on the 8x8 digits: few images have labels, the others lend a
hand by the labels that the network itself is sure of.

python examples/pseudo_labels.py

For every seed two networks start from the same weights and take the same number of steps. The first sees only the
labelled images. The second sees them too, and from the end of the first round on also images for which it predicts
some class with a probability above the threshold; they count as if that class were their label, until the next round.

Seeds 0 to 4 with 50 labels: 87.11% of the test images without and 89.61% with pseudo-labels on average, better with
them for each of the five seeds, by 0.6 to 4.7 points; in about 50 seconds on one core.
"""

import argparse

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import Digits
from minidl.data.transforms import ToTensor

parser = argparse.ArgumentParser(description="Compare learning from few labels with pseudo-labelling.")
parser.add_argument("--labels", type=int, default=5, help="labelled images of each class")
parser.add_argument("--rounds", type=int, default=8, help="how often pseudo-labels are given")
parser.add_argument("--steps", type=int, default=100, help="steps in each round")
parser.add_argument("--threshold", type=float, default=0.95, help="probability from which a prediction is a label")
parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
parser.add_argument("--seed", type=int, default=0, help="the first of them")
args = parser.parse_args()

x, y = Digits(train=True, transform=ToTensor()).tensors()
test_x, test_y = Digits(train=False, transform=ToTensor()).tensors()


def make():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 10),
    )


def predict(model, images):
    """The most likely class of each image and its probability."""
    model.eval()
    with minidl.no_grad():
        return model(images).softmax(dim=1).max(dim=1)


def accuracy(predicted, labels):
    return (predicted == labels).float().mean().item()


def train(seed, labelled, unlabelled, pseudo):
    """Test accuracy; with `pseudo`, also how many pseudo-labels there are at the end, and how many are right."""
    minidl.manual_seed(seed)
    model = make()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    sure, guess, right = unlabelled[:0], y[:0], float("nan")  # no pseudo-labels yet
    for _ in range(args.rounds):
        model.train()
        for _ in range(args.steps):
            batch = labelled[minidl.randint(len(labelled), (32,))]
            loss = F.cross_entropy(model(x[batch]), y[batch])
            if len(sure):
                chosen = minidl.randint(len(sure), (32,))
                loss = loss + F.cross_entropy(model(x[sure[chosen]]), guess[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if pseudo:
            probability, label = predict(model, x[unlabelled])
            keep = probability > args.threshold
            sure, guess = unlabelled[keep], label[keep]
            right = accuracy(guess, y[sure]) if len(sure) else float("nan")
    return accuracy(predict(model, test_x).indices, test_y), len(sure), right


few, many = [], []
for seed in range(args.seed, args.seed + args.seeds):
    minidl.manual_seed(seed)
    order = minidl.randperm(len(x))
    labelled = minidl.cat([order[y[order] == digit][: args.labels] for digit in range(10)])
    others = minidl.ones(len(x), dtype=minidl.bool)
    others[labelled] = False
    unlabelled = others.nonzero().squeeze(1)
    few.append(train(seed, labelled, unlabelled, pseudo=False)[0])
    semi, count, right = train(seed, labelled, unlabelled, pseudo=True)
    many.append(semi)
    print(
        f"seed {seed}: {len(labelled)} labels {few[-1]:.2%}, with pseudo-labels {many[-1]:.2%} "
        f"({count} of {len(unlabelled)} images, {right:.1%} of them right)",
        flush=True,
    )
better = sum(b > a for a, b in zip(few, many, strict=True))
print(f"mean: {sum(few) / len(few):.2%} and {sum(many) / len(many):.2%}, better in {better} of {len(few)} seeds")
