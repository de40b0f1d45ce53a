"""A small convolutional network on MNIST: two blocks of convolution, batch norm, ReLU and max pooling, then dropout.

python examples/mnist_cnn.py                      # MNIST, downloaded if it is not there
python examples/mnist_cnn.py --dataset digits     # the 8x8 digits that are part of minidl

Seed 0: 98.64%, 98.37% and 98.99% of the test images after the three epochs, in about two minutes on one core.
"""

import argparse

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import Compose, Normalize, ToTensor

parser = argparse.ArgumentParser(description="Train a small convolutional network on handwritten digits.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
args = parser.parse_args()
minidl.manual_seed(args.seed)

# data: images of one channel, pixels to mean 0 and standard deviation 1
transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
if args.dataset == "mnist":
    train_data = MNIST(train=True, transform=transform, download=True)
    test_data = MNIST(train=False, transform=transform, download=True)
    size = 28
else:
    train_data, test_data = Digits(True, transform), Digits(False, transform)
    size = 8
train_data, test_data = train_data.to(args.device), test_data.to(args.device)
train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_data, batch_size=500)


class CNN(nn.Module):
    """Each block doubles the channels and halves the picture: 1x28x28, 16x14x14, 32x7x7, then ten classes."""

    def __init__(self):
        super().__init__()
        # a convolution just before a batch norm needs no bias: the norm would subtract it again
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.dropout = nn.Dropout(0.3)
        self.fc1 = nn.Linear(32 * (size // 4) ** 2, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.relu(self.fc1(self.dropout(x.flatten(1))))
        return self.fc2(self.dropout(x))


model = CNN().to(args.device)
optimizer = optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(1, args.epochs + 1):
    model.train()  # dropout drops, batch norm uses the statistics of the batch
    total = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)

    model.eval()  # nothing is dropped, batch norm uses its running statistics
    correct = 0
    with minidl.no_grad():
        for images, labels in test_loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    train_loss, accuracy = total / len(train_data), correct / len(test_data)
    print(f"epoch {epoch}: training loss {train_loss:.4f}, test accuracy {accuracy:.2%}", flush=True)
