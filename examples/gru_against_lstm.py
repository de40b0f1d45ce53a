"""A plain RNN, a GRU and an LSTM learn the adding problem (Hochreiter and Schmidhuber, 1997): who can remember?

python examples/gru_against_lstm.py

A sequence of random numbers comes with marks at two of them, one in each half. The answer is the sum of the two marked
numbers, after the last step. Who forgets can only answer 1, the mean, with an error of 1/6 = 0.1667. Gates decide what
to keep, so the gradient of a GRU or an LSTM survives the way back; that of an RNN fades. All three have about the same
number of parameters, the same sequences, and the same number of updates.

Seed 0: the GRU is below 0.01 after 400 updates, the LSTM after 1,600 (seed 1: 400 and 1,400); the RNN is no better than
answering 1 after all 2,000. About two and a half minutes on one core.
"""

import argparse
import time

import minidl
import minidl.nn.functional as F
from minidl import nn, optim

parser = argparse.ArgumentParser(description="Compare RNN, GRU and LSTM on the adding problem.")
parser.add_argument("--length", type=int, default=100, help="steps of a sequence")
parser.add_argument("--updates", type=int, default=2000)
parser.add_argument("--every", type=int, default=200, help="updates between two rows of the table")
parser.add_argument("--batch-size", type=int, default=50)
parser.add_argument("--hidden", type=int, default=48, help="hidden units of the LSTM")
parser.add_argument("--lr", type=float, default=5e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


def sequences(count):
    """Numbers in 0 ... 1 and marks as (T, N, 2), and the sums of the marked numbers as (N,)."""
    numbers, half = minidl.rand(args.length, count), args.length // 2
    first, second = minidl.randint(0, half, (count,)), minidl.randint(half, args.length, (count,))
    marks = (F.one_hot(first, args.length) + F.one_hot(second, args.length)).t().float()
    return minidl.stack([numbers, marks], 2), (numbers * marks).sum(0)


class Adder(nn.Module):
    def __init__(self, kind, gates):
        super().__init__()
        # the large matrix has gates * hidden * hidden numbers: fewer gates, more hidden units
        hidden = round(args.hidden * (4 / gates) ** 0.5)
        self.memory = kind(2, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.memory(x)  # (T, N, hidden)
        return self.out(states[-1]).squeeze(1)


def train(kind, gates):
    """The test errors by update, the number of parameters, and the seconds of processor time that training took."""
    minidl.manual_seed(args.seed)
    test_x, test_y = sequences(1000)
    model = Adder(kind, gates)
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    minidl.manual_seed(args.seed + 1)  # the same training sequences for all three
    errors, seconds = {}, 0.0
    for update in range(1, args.updates + 1):
        start = time.process_time()
        x, y = sequences(args.batch_size)
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.process_time() - start
        if update % args.every == 0 or update == args.updates:
            with minidl.no_grad():
                errors[update] = F.mse_loss(model(test_x), test_y).item()
    return errors, sum(p.numel() for p in model.parameters()), seconds


results = {kind.__name__: train(kind, gates) for kind, gates in [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)]}


def row(title, cells):
    print(f"{title:<12}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


row("update", results)
for update in results["LSTM"][0]:
    row(update, [f"{errors[update]:.5f}" for errors, _, _ in results.values()])
row("parameters", [f"{count:,}" for _, count, _ in results.values()])
row("seconds", [f"{seconds:.1f}" for _, _, seconds in results.values()])
