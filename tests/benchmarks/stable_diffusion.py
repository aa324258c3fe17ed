"""How fast is our Stable Diffusion v1, and how much memory does it take, beside diffusers'?

    python tests/benchmarks/stable_diffusion.py [--rounds 5] [--size 512] [--compile]

Both compute with the same random weights, in turns, in one run; a ratio below 1 means that ours takes less. Peak memory
is that of a process of its own for each. Takes 3.4 GB of memory twice over, and minutes a round on two CPU cores.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import nn

sys.path.append(str(Path(__file__).resolve().parents[1]))
from parity import shared_pair

Call = Callable[[], torch.Tensor]
STEPS = 20  # of a picture, for images per second
HALF = dict(dtype=torch.float16, device="cuda", memory_format=torch.channels_last)


def questions(size: int, like: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return latents with and without the sentence, the steps, the words, and the latent to decode."""
    weight = next(like.parameters())
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, size // 8, size // 8, generator=random).expand(2, -1, -1, -1)
    context = torch.randn(2, 77, 768, generator=random)
    return tuple(tensor.to(weight) for tensor in (x, torch.full((2,), 500.0), context, x[:1]))


def unet_calls(ours: nn.Module, theirs: nn.Module, size: int) -> dict[str, Call]:
    """The three ways to compute a step with guidance: the noise with the words, and without."""
    x, t, context, _ = questions(size, ours)
    return {
        "ours, one call for both": lambda: ours(x, t, context),
        "ours, a call for each": lambda: torch.cat([ours(x[i : i + 1], t[:1], context[i : i + 1]) for i in (0, 1)]),
        "diffusers": lambda: theirs(x, t, context, return_dict=False)[0],
    }


def vae_calls(ours: nn.Module, theirs: nn.Module, size: int) -> dict[str, Call]:
    z = questions(size, ours)[-1]
    scaling = ours.config.scaling
    return {
        "ours": lambda: ours.decode(z),
        "diffusers": lambda: theirs.decode(z / scaling, return_dict=False)[0],
    }


CALLS = {"unet": unet_calls, "vae": vae_calls}
WHAT = {"unet": "U-Net, a step with guidance", "vae": "VAE, decoding"}


def seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def race(part: str, calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Run the calls in turns and print the median of each, and the ratios to diffusers' of medians and of rounds."""
    answers = [call() for call in calls.values()]  # the first run, which is slower, is not counted
    apart = max((answer - answers[-1]).abs().max().item() for answer in answers)
    del answers
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    print(f"\n{WHAT[part]} (largest difference of the answers: {apart:.1g})")
    for name, taken in times.items():
        ratios = sorted(a / b for a, b in zip(taken, times["diffusers"], strict=True))
        ratio = median(taken) / median(times["diffusers"])
        print(f"  {name:<26} {median(taken):8.3f} s   {ratio:5.3f} × diffusers ({ratios[0]:.3f} … {ratios[-1]:.3f})")
    sys.stdout.flush()
    return {name: median(taken) for name, taken in times.items()}


def resident(line: str) -> float:
    """Return a line of Linux's account of this process's memory, in MB: "VmRSS" now, "VmHWM" at its highest."""
    account = dict(row.split(":") for row in Path("/proc/self/status").read_text().splitlines())
    return int(account[line].split()[0]) / 1024


def peak(part: str, whose: str, size: int) -> None:
    """Print the peak memory of this process after one call, and how much of it came with the call, in MB."""
    calls = CALLS[part](*shared_pair(part), size)
    before = resident("VmRSS")
    calls[whose]()
    print(resident("VmHWM"), resident("VmHWM") - before)


def memory(part: str, size: int) -> None:
    """Print the peak memory of each call, in a process of its own."""
    if not Path("/proc/self/status").exists():
        print("Peak memory is measured on Linux only.")
        return
    print(f"\n{WHAT[part]}: peak memory of the process, and what the call added to it")
    found = {}
    for whose in CALLS[part](*shared_pair(part, torch.device("meta")), size):
        command = [sys.executable, __file__, "--peak", part, whose, "--size", str(size)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[whose] = [float(number) for number in answer.split()]
    for whose, (whole, added) in found.items():
        whole_ratio, added_ratio = (a / b for a, b in zip(found[whose], found["diffusers"], strict=True))
        print(f"  {whose:<26} {whole:6.0f} MB {whole_ratio:6.3f} × diffusers, {added:6.0f} MB {added_ratio:6.3f} ×")
    sys.stdout.flush()


def on_gpu(size: int, rounds: int, compiled: bool) -> None:
    """Print images per second in half precision, channels last, with fused attention."""
    if not torch.cuda.is_available():
        print("\nThere is no GPU here: half precision, channels_last, fused attention and compile were not measured.")
        return
    print(f"\non {torch.cuda.get_device_name()}: half precision, channels_last{', compiled' if compiled else ''}")
    times = {}
    for part, calls in CALLS.items():
        ours, theirs = (model.to(**HALF) for model in shared_pair(part))
        if compiled:
            ours.forward, theirs.forward = torch.compile(ours.forward), torch.compile(theirs.forward)
            if part == "vae":
                ours.decoder, theirs.decoder = torch.compile(ours.decoder), torch.compile(theirs.decoder)
        for _ in range(3):  # warm up
            for call in calls(ours, theirs, size).values():
                call()
        times[part] = race(part, calls(ours, theirs, size), 4 * rounds)
    for whose, step in (("ours", "ours, one call for both"), ("diffusers", "diffusers")):
        picture = STEPS * times["unet"][step] + times["vae"][whose]
        print(f"{whose}: {1 / picture:.2f} images/s of {size}×{size}, {STEPS} steps, guided")


@torch.no_grad()
def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--size", type=int, default=512, help="side of the picture in pixels (default: 512)")
    parser.add_argument("--compile", action="store_true", help="on the GPU: with torch.compile")
    parser.add_argument("--peak", nargs=2, metavar=("PART", "WHOSE"), help="only the memory of one call, in MB")
    arguments = parser.parse_args(words)
    if arguments.peak:
        peak(*arguments.peak, arguments.size)
        return
    print(f"Stable Diffusion v1, {arguments.size}×{arguments.size}, {torch.get_num_threads()} CPU threads, float32")
    for part, calls in CALLS.items():
        race(part, calls(*shared_pair(part), arguments.size), arguments.rounds)
        memory(part, arguments.size)
    on_gpu(arguments.size, arguments.rounds, arguments.compile)


if __name__ == "__main__":
    main()
