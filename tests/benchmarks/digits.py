"""How good are the synthetic digits? What a network that has seen no other reads of MNIST: by digit, and its
confusions.

    python tests/benchmarks/digits.py [weights, the pretrained ones by default]

MNIST is taken from data/, or from where STABLEDIFF_DATA points.
"""

import sys
import time

import torch

from stablediff_edu.data.digits.dataset import load_digits, render_digits
from stablediff_edu.tasks.digit_classifier import load_digit_classifier, predict_proba


def main(name: str = "digit_classifier") -> None:
    started = time.perf_counter()
    render_digits(10_000)
    print(f"10,000 synthetic digits in {time.perf_counter() - started:.1f} s (the limit: 10 s)")
    model, metadata = load_digit_classifier(name)
    print(f"{metadata['command']}: {metadata['data']}, {metadata['steps']} steps in {metadata['seconds']} s")
    real = load_digits(10_000, "mnist", train=False)
    started = time.perf_counter()
    answers = predict_proba(model, real.images)
    seconds = time.perf_counter() - started
    sureness, read = answers.max(dim=1)
    right = read == real.labels
    print(f"reads {right.float().mean():.2%} of {len(real):,} test digits of MNIST, in {seconds:.1f} s")
    sure = sureness > 0.9
    print(f"sure (> 0.9) of {sure.float().mean():.1%}, and of these it reads {right[sure].float().mean():.2%}")
    table = torch.zeros(10, 10, dtype=torch.int64).index_put_((real.labels, read), torch.tensor(1), accumulate=True)
    print("\ndigit    read  as " + "".join(f"{digit:6}" for digit in range(10)))
    for digit, row in enumerate(table.tolist()):
        print(f"{digit:5} {row[digit] / sum(row):7.1%}     " + "".join(f"{count or '·':>6}" for count in row))


if __name__ == "__main__":
    main(*sys.argv[1:])
