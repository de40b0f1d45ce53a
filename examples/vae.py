"""A variational autoencoder (Kingma and Welling, 2014): an autoencoder whose code is random, so that codes drawn from
the normal distribution decode to new digits.

python examples/vae.py                    # MNIST, writes vae.png
python examples/vae.py --dataset digits   # the 8x8 digits that are part of minidl

The encoder gives a normal distribution q(z | x) for each image, the decoder the probability of each pixel to be on,
p(x | z). Training maximises a lower bound of log p(x), the ELBO, in nats for each image:

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || N(0, 1)) = -(reconstruction + KL)

Seed 0: test ELBO -105.70 (reconstruction 80.40, KL 25.30) after ten epochs, in about 70 seconds on one core.
"""

import argparse

import matplotlib.pyplot as plt

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import ToTensor

parser = argparse.ArgumentParser(description="Train a variational autoencoder on handwritten digits.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--latent", type=int, default=20, help="numbers in the code z")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="vae.png", help="where the picture is written")
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


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(pixels, 400)
        self.mean = nn.Linear(400, args.latent)
        self.log_variance = nn.Linear(400, args.latent)
        self.decoder = nn.Sequential(nn.Linear(args.latent, 400), nn.ReLU(), nn.Linear(400, pixels))

    def encode(self, x):
        h = F.relu(self.hidden(x))
        return self.mean(h), self.log_variance(h)

    def forward(self, x):
        mean, log_variance = self.encode(x)
        # z = mean + std * noise has the distribution q and a derivative with respect to mean and std
        z = mean + (0.5 * log_variance).exp() * minidl.randn_like(mean)
        return self.decoder(z), mean, log_variance


def losses(model, x):
    """The two parts of -ELBO, each the mean over the images of a sum over pixels or over the numbers of the code."""
    logits, mean, log_variance = model(x)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / len(x)
    return reconstruction, kl


model = VAE()
optimizer = optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(1, args.epochs + 1):
    total = 0.0
    for images, _ in train_loader:
        reconstruction, kl = losses(model, images.flatten(1))
        loss = reconstruction + kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
    with minidl.no_grad():
        reconstruction, kl = (v.item() for v in losses(model, test_images))
    print(
        f"epoch {epoch}: training ELBO {-total / len(train_data):.2f}, test ELBO {-(reconstruction + kl):.2f} "
        f"(reconstruction {reconstruction:.2f}, KL {kl:.2f})",
        flush=True,
    )

# the picture: one image of each class and its reconstruction, then digits that nobody wrote
shown = test_images[[test_data.targets.tolist().index(digit) for digit in range(10)]]
with minidl.no_grad():
    rebuilt = model.decoder(model.encode(shown)[0]).sigmoid()
    samples = model.decoder(minidl.randn(40, args.latent)).sigmoid()
side = int(pixels**0.5)
tiles = F.pad(minidl.cat([shown, rebuilt, samples]).view(-1, side, side), (1, 1, 1, 1), value=0.5)  # with grey frames
sheet = tiles.view(6, 10, side + 2, side + 2).permute(0, 2, 1, 3).reshape(6 * (side + 2), 10 * (side + 2))
figure, ax = plt.subplots(figsize=(8, 5.3), layout="constrained")
ax.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=1)
ax.set_yticks([(row + 0.5) * (side + 2) for row in range(6)], ["input", "output", *["sample"] * 4])
ax.set_xticks([])
ax.set_title(f"Test images, their reconstructions, samples from the prior (test ELBO {-(reconstruction + kl):.1f})")
figure.savefig(args.picture, dpi=120)
print(f"picture: {args.picture}")
