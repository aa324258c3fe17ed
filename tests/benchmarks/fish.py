"""How long drawing fish takes: `python tests/benchmarks/fish.py`."""

import time

from stablediff_edu.data.fish.synthetic import render_batch


def main() -> None:
    began = time.perf_counter()
    render_batch(500)
    print(f"500 generated images of 128×128: {time.perf_counter() - began:.1f} s (asked for: under 10)")


if __name__ == "__main__":
    main()
