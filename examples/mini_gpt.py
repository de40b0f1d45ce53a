"""A small GPT reads Shakespeare, guesses each next character from up to 64 before it, and then writes.

python examples/mini_gpt.py                          # Tiny Shakespeare, downloaded if it is not there
python examples/mini_gpt.py --save gpt.safetensors   # keep the weights
python examples/mini_gpt.py --load gpt.safetensors --steps 0   # only write

A decoder-only Transformer (Radford et al., 2018): every place of a window of text looks at itself and at the places
before it, and all of them guess at once, so one window of 64 characters is 64 exercises. Each block adds to its input
what attention finds and what a small network makes of it, with a LayerNorm before either (Xiong et al., 2020). The
table of characters serves as the last layer, too (Press and Wolf, 2017). The rate rises linearly and then falls along a
cosine. The last tenth of the text is held out.
"""

import argparse
import math
from pathlib import Path

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data.datasets import TinyShakespeare
from minidl.optim import schedules

parser = argparse.ArgumentParser(description="Train a small GPT and let it write.")
parser.add_argument("--text", help="a file to learn from, instead of Tiny Shakespeare")
parser.add_argument("--steps", type=int, default=5000)
parser.add_argument("--batch-size", type=int, default=16, help="windows of text in a step")
parser.add_argument("--context", type=int, default=64, help="characters in a window")
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--lr", type=float, default=4e-3, help="the highest learning rate")
parser.add_argument("--warmup", type=int, default=100, help="steps in which the rate rises")
parser.add_argument("--clip", type=float, default=1.0, help="largest norm of the gradient")
parser.add_argument("--every", type=int, default=500, help="steps between two lines of output")
parser.add_argument("--temperature", type=float, default=0.8, help="of the sample: towards 0 always the likeliest")
parser.add_argument("--length", type=int, default=500, help="characters of the sample")
parser.add_argument("--save", help="where to write the weights")
parser.add_argument("--load", help="weights to begin with, as --save wrote them")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
minidl.manual_seed(args.seed)

if args.text:
    text = Path(args.text).read_text(encoding="utf-8")
else:
    text = TinyShakespeare(train=True, download=True).text + TinyShakespeare(train=False).text
chars = "".join(sorted(set(text)))
number = {c: i for i, c in enumerate(chars)}
numbers = minidl.tensor([number[c] for c in text])
cut = len(numbers) * 9 // 10
train_text, test_text = numbers[:cut], numbers[cut:]


class Block(nn.Module):
    """Look around, then think: attention to the places before, and a network on each place alone."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(args.width), nn.LayerNorm(args.width)
        self.qkv, self.out = nn.Linear(args.width, 3 * args.width), nn.Linear(args.width, args.width)
        self.up, self.down = nn.Linear(args.width, 4 * args.width), nn.Linear(4 * args.width, args.width)
        self.dropout = nn.Dropout(args.dropout)

    def attend(self, x):
        n, t, width = x.shape
        # (N, T, 3 width) to query, key and value, each (N, heads, T, width / heads)
        q, k, v = self.qkv(x).view(n, t, 3, args.heads, width // args.heads).permute(2, 0, 3, 1, 4)
        p = args.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, t, width))

    def forward(self, x):
        x = x + self.dropout(self.attend(self.norm1(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.characters = nn.Embedding(len(chars), args.width)
        self.places = nn.Embedding(args.context, args.width)
        self.blocks = nn.ModuleList([Block() for _ in range(args.layers)])
        self.norm = nn.LayerNorm(args.width)
        self.apply(self.begin)
        for block in self.blocks:  # what is added 2 layers times shall have the size of one
            nn.init.normal_(block.out.weight, std=0.02 / math.sqrt(2 * args.layers))
            nn.init.normal_(block.down.weight, std=0.02 / math.sqrt(2 * args.layers))

    @staticmethod
    def begin(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, x):
        """Scores of the next character (N, T, C) after each of x (N, T)."""
        h = self.characters(x) + self.places(minidl.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return F.linear(self.norm(h), self.characters.weight)


def windows(text, starts):
    """x and y (N, T) from these places on, where y is one character later than x."""
    places = starts.unsqueeze(1) + minidl.arange(args.context)
    return text[places], text[places + 1]


def loss_of(logits, y):
    """The mean number of nats for each character: -log of the probability that it was given."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def held_out(model):
    """The loss on the held-out text, cut into windows."""
    model.eval()
    starts, total = minidl.arange(0, len(test_text) - args.context, args.context), 0.0
    with minidl.no_grad():
        for part in starts.split(64):
            x, y = windows(test_text, part)
            total += loss_of(model(x), y).item() * len(part)
    return total / len(starts)


def write(model, length):
    """Draw a character from the distribution that the model gives, append it, and so on."""
    model.eval()
    written = [number.get("\n", 0)]
    with minidl.no_grad():
        for _ in range(length):
            logits = model(minidl.tensor([written[-args.context :]]))[0, -1]
            written.append(minidl.multinomial(F.softmax(logits / args.temperature, dim=0), 1).item())
    return "".join(chars[i] for i in written[1:])


model = GPT()
if args.load:
    file = minidl.load(args.load)
    if file["chars"] != chars:
        raise SystemExit(f"{args.load} was trained on a text of other characters")
    model.load_state_dict(file["model"])  # every weight, each of its size, or an error that says which is not
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(chars)} characters", flush=True)

if args.steps:
    rate = args.lr * schedules.warmup(args.warmup, schedules.cosine(max(args.steps - args.warmup, 1), end=0.1))
    groups = optim.groups_without_decay(model, weight_decay=0.1)
    optimizer = optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
    total, count = 0.0, 0
    for step in range(1, args.steps + 1):
        model.train()
        x, y = windows(train_text, minidl.randint(len(train_text) - args.context, (args.batch_size,)))
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        total, count = total + loss.item(), count + 1
        if step % args.every == 0 or step == args.steps:
            print(
                f"step {step}: training loss {total / count:.4f}, held out {held_out(model):.4f} nats per character",
                flush=True,
            )
            total, count = 0.0, 0
else:
    print(f"held out {held_out(model):.4f} nats per character", flush=True)

if args.save:
    minidl.save({"model": model.state_dict(), "chars": chars}, args.save)
    print(f"weights: {args.save}")
print(write(model, args.length))
