"""How long drawing fish takes, and how fast the U-Net learns from them: `python tests/benchmarks/fish.py`."""

import time

import torch

from stablediff_edu.datasets.drawn_fish import draw_many
from stablediff_edu.training import recipes, segmentation


def main() -> None:
    began = time.perf_counter()
    pictures, masks, _ = draw_many(500)
    print(f"500 drawn pictures of 128×128: {time.perf_counter() - began:.1f} s (asked for: under 10)")
    for name, recipe in (("quick", recipes.QUICK), ("shipped", recipes.SHIPPED)):
        model = recipe.model().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters())
        batch = tuple(torch.nn.functional.interpolate(x[: recipe.batch_size], recipe.size) for x in (pictures, masks))
        seconds = []
        for _ in range(8):
            began = time.perf_counter()
            segmentation.loss(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - began)
        rate = recipe.batch_size / sorted(seconds)[len(seconds) // 2]
        minutes = recipe.steps * recipe.batch_size / rate / 60
        print(
            f"{name}: {rate:.0f} pictures/s of {recipe.size}×{recipe.size}, {recipe.steps} steps take {minutes:.1f} min"
        )


if __name__ == "__main__":
    main()
