"""How long drawing fish takes: `python tests/benchmarks/fish.py`."""

import time

from stablediff_edu.datasets.drawn_fish import draw_many


def main() -> None:
    began = time.perf_counter()
    draw_many(500)
    print(f"500 drawn pictures of 128×128: {time.perf_counter() - began:.1f} s (asked for: under 10)")


if __name__ == "__main__":
    main()
