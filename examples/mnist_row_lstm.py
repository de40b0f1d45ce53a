"""An LSTM reads MNIST from top to bottom, one row of pixels a step; what it remembers at the end gives the digit.

python examples/mnist_row_lstm.py                                # MNIST, downloaded if it is not there
python examples/mnist_row_lstm.py --dataset digits --epochs 15   # the 8x8 digits that are part of minidl

An image is a sequence of 28 steps with 28 numbers each. Nothing tells the LSTM which pixels of two rows are neighbours;
it has to learn that.

Seed 0: 98.74% of the test images after four epochs, in less than two minutes on one core.
"""

import argparse

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import Compose, Normalize, ToTensor
from minidl.optim import schedules

parser = argparse.ArgumentParser(description="Train an LSTM that reads handwritten digits row by row.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--hidden", type=int, default=128)
parser.add_argument("--lr", type=float, default=2e-3, help="learning rate at the start; it falls linearly to 0")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
minidl.manual_seed(args.seed)

transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
if args.dataset == "mnist":
    train_data = MNIST(train=True, transform=transform, download=True)
    test_data = MNIST(train=False, transform=transform, download=True)
    width = 28
else:
    train_data, test_data = Digits(True, transform), Digits(False, transform)
    width = 8
train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_data, batch_size=500)


class RowLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(width, args.hidden, batch_first=True)
        self.out = nn.Linear(args.hidden, 10)

    def forward(self, x):
        rows = x.squeeze(1)  # (N, 1, H, W) to (N, T, D): T = H steps of D = W numbers
        _, (h, _) = self.lstm(rows)  # h: the state after the last row, (1, N, hidden)
        return self.out(h[-1])


model = RowLSTM()
updates = args.epochs * len(train_loader)
optimizer = optim.Adam(model.parameters(), lr=args.lr * schedules.linear(1.0, 0.0, updates))

for epoch in range(1, args.epochs + 1):
    model.train()
    total = 0.0
    for images, labels in train_loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a recurrent network's gradient can be very long at times
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
