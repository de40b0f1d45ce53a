"""A perceptron on MNIST with the training loop written out: what `minidl train` does, in plain sight.

python examples/mnist_mlp.py                      # MNIST, downloaded if it is not there
python examples/mnist_mlp.py --dataset digits     # the 8x8 digits that are part of minidl
"""

import argparse

import minidl
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import Compose, Normalize, ToTensor

parser = argparse.ArgumentParser(description="Train a perceptron on handwritten digits.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
args = parser.parse_args()
minidl.manual_seed(args.seed)

# data: pixels to [0, 1], then to mean 0 and standard deviation 1
transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
if args.dataset == "mnist":
    train_data = MNIST(train=True, transform=transform, download=True)
    test_data = MNIST(train=False, transform=transform, download=True)
    pixels = 28 * 28
else:
    train_data, test_data = Digits(True, transform), Digits(False, transform)
    pixels = 8 * 8
train_data, test_data = train_data.to(args.device), test_data.to(args.device)
train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
test_loader = DataLoader(test_data, batch_size=500)


class MLP(nn.Module):
    """Two hidden layers."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(pixels, 256)
        self.fc2 = nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, 10)

    def forward(self, x):
        x = nn.functional.relu(self.fc1(x.flatten(1)))
        x = nn.functional.relu(self.fc2(x))
        return self.fc3(x)


model = MLP().to(args.device)
loss_fn = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(1, args.epochs + 1):
    model.train()
    for images, labels in train_loader:
        optimizer.zero_grad()  # forget the gradients of the last step
        loss = loss_fn(model(images), labels)  # forward
        loss.backward()  # backward: d loss / d parameter, for every parameter
        optimizer.step()  # update

    model.eval()
    correct = 0
    with minidl.no_grad():  # nothing to differentiate here
        for images, labels in test_loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    print(f"epoch {epoch}: loss {loss.item():.4f}, test accuracy {correct / len(test_data):.2%}", flush=True)
