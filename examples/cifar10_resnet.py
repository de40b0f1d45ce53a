"""A residual network (He et al., 2016) on CIFAR-10, with the images cropped and mirrored at random.

python examples/cifar10_resnet.py                                    # CIFAR-10, downloaded if it is not there
python examples/cifar10_resnet.py --subset 2000 --epochs 2           # a look at it: two epochs of 2,000 images
python examples/cifar10_resnet.py --dataset digits --batch-size 32   # the 8x8 digits that are part of minidl

The learning rate rises for the first tenth of the updates, and then falls to 0 along a cosine. An epoch of CIFAR-10
takes minutes on the CPU. `minidl train --dataset cifar10 --model resnet8 --augment` trains the same network; what that
reaches is in docs/results.md.
"""

import argparse

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader, Subset
from minidl.data.datasets import CIFAR10, Digits
from minidl.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor
from minidl.optim import schedules

parser = argparse.ArgumentParser(description="Train a small residual network on CIFAR-10.")
parser.add_argument("--dataset", choices=["cifar10", "digits"], default="cifar10")
parser.add_argument("--subset", type=int, help="train and test on the first images only, as many as this")
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--width", type=int, default=24, help="channels of the first stage")
parser.add_argument("--lr", type=float, default=0.1, help="the highest learning rate")
parser.add_argument("--weight-decay", type=float, default=2e-4)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
args = parser.parse_args()
minidl.manual_seed(args.seed)

# data: training images are shifted by up to an eighth of their size and mirrored, anew in each epoch
if args.dataset == "cifar10":
    end = [ToTensor(), Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))]
    augment = [RandomCrop(32, padding=4), RandomHorizontalFlip()]
    train_data = CIFAR10(train=True, transform=Compose([*augment, *end]), download=True)
    test_data = CIFAR10(train=False, transform=Compose(end), download=True)
    channels = 3
else:  # a mirrored digit is another digit, or none
    end = [ToTensor(), Normalize((0.3,), (0.37,))]
    train_data, test_data = Digits(True, Compose([RandomCrop(8, padding=1), *end])), Digits(False, Compose(end))
    channels = 1
if args.subset:
    train_data, test_data = (Subset(d, range(min(args.subset, len(d)))) for d in (train_data, test_data))
train_data, test_data = train_data.to(args.device), test_data.to(args.device)
train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_data, batch_size=500)


class Block(nn.Module):
    """y = ReLU(x + f(x)): f need only learn what to change, and the gradient reaches x past f as well."""

    def __init__(self, before, after, stride):
        super().__init__()
        # a convolution just before a batch norm needs no bias: the norm would subtract it again
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:  # then x has another shape than f(x)
            conv = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(after))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(self.shortcut(x) + y)


w = args.width
model = nn.Sequential(
    nn.Conv2d(channels, w, 3, padding=1, bias=False),
    nn.BatchNorm2d(w),
    nn.ReLU(),
    Block(w, w, stride=1),
    Block(w, 2 * w, stride=2),  # twice the channels, half the height and width
    Block(2 * w, 4 * w, stride=2),
    nn.AdaptiveAvgPool2d(1),  # the mean of each channel
    nn.Flatten(),
    nn.Linear(4 * w, 10),
).to(args.device)
updates = args.epochs * len(train_loader)
rising = updates // 10
rate = args.lr * schedules.warmup(rising, schedules.cosine(updates - rising))
optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=args.weight_decay)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {updates:,} updates", flush=True)

for epoch in range(1, args.epochs + 1):
    model.train()
    total = 0.0
    for images, labels in train_loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)

    model.eval()
    correct = 0
    with minidl.no_grad():
        for images, labels in test_loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    print(
        f"epoch {epoch}: training loss {total / len(train_data):.4f}, test accuracy {correct / len(test_data):.2%}",
        flush=True,
    )
