"""An autoencoder: a network that has to reproduce its input through a bottleneck of 32 numbers, so it learns what
matters in a picture. The picture shows test images above what is left of them after the bottleneck.

python examples/autoencoder.py                    # MNIST, writes autoencoder.png
python examples/autoencoder.py --dataset digits   # the 8x8 digits that are part of minidl

Seed 0: a mean squared error of 0.00843 on the test images (0.06747 for the mean image in place of each reconstruction),
in about 20 seconds on one core.
"""

import argparse

import matplotlib.pyplot as plt

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import ToTensor

parser = argparse.ArgumentParser(description="Train an autoencoder on handwritten digits.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="autoencoder.png", help="where the picture is written")
args = parser.parse_args()
minidl.manual_seed(args.seed)
plt.switch_backend("Agg")  # draw into files, not on a screen

if args.dataset == "mnist":
    train_data = MNIST(train=True, transform=ToTensor(), download=True)
    test_data = MNIST(train=False, transform=ToTensor(), download=True)
else:
    train_data, test_data = Digits(True, ToTensor()), Digits(False, ToTensor())
train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
test_images = test_data.tensors()[0].flatten(1)  # (N, pixels), each pixel from 0 to 1
pixels = test_images.shape[1]


class Autoencoder(nn.Module):
    """784-128-32-128-784 on MNIST; the last sigmoid keeps pixels between 0 and 1."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, 32))
        self.decoder = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, pixels), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


model = Autoencoder()
optimizer = optim.Adam(model.parameters(), lr=args.lr)

# the measure to beat: every image replaced by the mean of the training images
mean_image = train_data.tensors()[0].flatten(1).mean(dim=0)
baseline = F.mse_loss(mean_image.expand(len(test_images), pixels), test_images).item()
print(f"the mean image: test error {baseline:.5f}", flush=True)

for epoch in range(1, args.epochs + 1):
    total = 0.0
    for images, _ in train_loader:  # the labels are not needed: the input is its own target
        x = images.flatten(1)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    with minidl.no_grad():
        test_error = F.mse_loss(model(test_images), test_images).item()
    print(f"epoch {epoch}: training error {total / len(train_data):.5f}, test error {test_error:.5f}", flush=True)

# the picture: one image of each class, and its reconstruction below it
rows = [test_data.targets.tolist().index(digit) for digit in range(10)]
shown = test_images[rows]
with minidl.no_grad():
    rebuilt = model(shown)
side = int(pixels**0.5)
tiles = F.pad(minidl.cat([shown, rebuilt]).view(-1, side, side), (1, 1, 1, 1), value=0.5)  # with grey frames
sheet = tiles.view(2, 10, side + 2, side + 2).permute(0, 2, 1, 3).reshape(2 * (side + 2), 10 * (side + 2))
figure, ax = plt.subplots(figsize=(10, 2.4), layout="constrained")
ax.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=1)
ax.set_yticks([(row + 0.5) * (side + 2) for row in range(2)], ["input", "output"])
ax.set_xticks([])
ax.set_title(f"Test images through a bottleneck of 32 numbers (test error {test_error:.4f})")
figure.savefig(args.picture, dpi=120)
print(f"picture: {args.picture}")
