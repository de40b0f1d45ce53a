"""A generative adversarial network (Goodfellow et al., 2014): a generator turns noise into digits, a discriminator
learns to tell them from real ones, and each learns from the other.

python examples/gan.py                    # MNIST, writes gan.png
python examples/gan.py --dataset digits   # the 8x8 digits that are part of minidl

Neither loss has to fall: both networks improve, and what counts is the sheet of samples. With the non-saturating loss
the generator maximises log D(G(z)), which has a gradient also where D is sure of itself. D's accuracies are how often
it takes a real image for real and a generated one for generated, in training (so with dropout); 50% is guessing.

Seed 0: losses 1.287 (D) and 0.994 (G), D is right about 45.4% of the real and 80.0% of the generated images (it guesses
"generated" too often because real images count as 0.9), and samples of many different digits, some broken, in about
two and a half minutes on one core.
"""

import argparse

import matplotlib.pyplot as plt

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.datasets import MNIST, Digits
from minidl.data.transforms import Compose, Normalize, ToTensor

parser = argparse.ArgumentParser(description="Train a generative adversarial network on handwritten digits.")
parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--lr", type=float, default=4e-4)
parser.add_argument("--latent", type=int, default=64, help="numbers of noise for each image")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--picture", default="gan.png", help="where the sheet of samples is written")
args = parser.parse_args()
minidl.manual_seed(args.seed)
plt.switch_backend("Agg")  # draw into files, not on a screen

transform = Compose([ToTensor(), Normalize((0.5,), (0.5,))])  # pixels from -1 to 1, as the generator's tanh
data = MNIST(train=True, transform=transform, download=True) if args.dataset == "mnist" else Digits(True, transform)
loader = DataLoader(data, batch_size=args.batch_size, shuffle=True, drop_last=True)
side = data.data.shape[1]

generator = nn.Sequential(
    nn.Linear(args.latent, 128),
    nn.BatchNorm1d(128),
    nn.ReLU(),
    nn.Linear(128, 256),
    nn.BatchNorm1d(256),
    nn.ReLU(),
    nn.Linear(256, side * side),
    nn.Tanh(),
)
discriminator = nn.Sequential(  # logits: above 0 means real
    nn.Linear(side * side, 256),
    nn.LeakyReLU(0.2),
    nn.Dropout(0.3),
    nn.Linear(256, 128),
    nn.LeakyReLU(0.2),
    nn.Dropout(0.3),
    nn.Linear(128, 1),
)
for layer in [*generator, *discriminator]:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
optimizer_g = optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
optimizer_d = optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))


def loss_fn(logits, target):
    """Binary cross-entropy with the same target for all: 1 for real, 0 for generated."""
    return F.binary_cross_entropy_with_logits(logits, minidl.full_like(logits, target))


for epoch in range(1, args.epochs + 1):
    totals = minidl.zeros(4)
    for images, _ in loader:
        real = images.flatten(1)
        fake = generator(minidl.randn(len(real), args.latent))

        # the discriminator: real images are 1, generated ones 0; no gradient goes to the generator
        real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        loss_d = loss_fn(real_logits, 0.9) + loss_fn(fake_logits, 0.0)  # 0.9: D should not become too sure
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        # the generator: its images should pass for real
        loss_g = loss_fn(discriminator(fake), 1.0)
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()

        with minidl.no_grad():
            right = (real_logits > 0).float().mean(), (fake_logits < 0).float().mean()
            totals += minidl.stack([loss_d, loss_g, *right])
    d, g, real_right, fake_right = (totals / len(loader)).tolist()
    print(
        f"epoch {epoch}: loss D {d:.3f}, loss G {g:.3f}, D is right about {real_right:.1%} of the real "
        f"and {fake_right:.1%} of the generated images",
        flush=True,
    )

generator.eval()
with minidl.no_grad():
    samples = generator(minidl.randn(100, args.latent)).view(-1, side, side)
# a generator that has collapsed makes the same image from every noise
spread, real_spread = samples.std(dim=0).mean().item(), data.tensors()[0].std(dim=0).mean().item()
print(f"mean standard deviation of a pixel: generated {spread:.3f}, real {real_spread:.3f}")
tiles = F.pad(samples, (1, 1, 1, 1), value=0.0).view(10, 10, side + 2, side + 2)  # each with a grey frame
sheet = tiles.permute(0, 2, 1, 3).reshape(10 * (side + 2), 10 * (side + 2))
figure, ax = plt.subplots(figsize=(7, 7.4), layout="constrained")
ax.imshow(sheet.numpy(), cmap="gray", vmin=-1, vmax=1)
ax.axis("off")
ax.set_title(f"100 samples of the generator after {args.epochs} epochs")
figure.savefig(args.picture, dpi=100)
print(f"picture: {args.picture}")
