"""How fast is our Stable Diffusion v1, and how much memory does it take, beside diffusers'?

    python tests/benchmarks/stable_diffusion.py [--rounds 5] [--size 512] [--dtypes float16] [--compile both]

Both compute with the same random weights, in turns, in one run, on the device that the course picks; a ratio below 1
means that ours takes less. On a GPU in both half precisions, eager and compiled; on a CPU in float32, with the peak
memory of a process of its own for each. Takes 3.4 GB of memory twice over, and minutes a round on two CPU cores.
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

from stablediff_edu.config import pick_device, synchronize

Call = Callable[[], torch.Tensor]
STEPS = 20  # of an image, for images per second


def questions(size: int, like: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return latents with and without the sentence, the steps, the words, and the latent to decode."""
    weight = next(like.parameters())
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, size // 8, size // 8, generator=rng).expand(2, -1, -1, -1)
    context = torch.randn(2, 77, 768, generator=rng)
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
    scaling = ours.config.scaling_factor
    return {
        "ours": lambda: ours.decode(z),
        "diffusers": lambda: theirs.decode(z / scaling, return_dict=False)[0],
    }


CALLS = {"unet": unet_calls, "vae": vae_calls}
WHAT = {"unet": "U-Net, a step with guidance", "vae": "VAE, decoding"}


def seconds(call: Call) -> float:
    began = time.perf_counter()
    synchronize(call().device)
    return time.perf_counter() - began


def race(part: str, calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Run the calls in turns and print the median of each, and the ratios to diffusers' of medians and of rounds."""
    answers = [call() for _ in range(3) for call in calls.values()][-len(calls) :]  # the first runs are slower
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


def compare(device: torch.device, dtype: torch.dtype, compiled: bool, size: int, rounds: int, small: bool) -> None:
    """Print the times of both parts, and images per second."""
    print(f"\n{device}, {str(dtype)[6:]}, {'compiled' if compiled else 'eager'}")
    layout, times = torch.channels_last if device.type == "cuda" else torch.contiguous_format, {}
    for part, calls in CALLS.items():
        ours, theirs = (model.to(device, dtype, memory_format=layout) for model in shared_pair(part, small=small))
        for model in (ours, theirs) if compiled else ():
            (model.decoder if part == "vae" else model).compile()
        times[part] = race(part, calls(ours, theirs, size), rounds)
    for whose, step in (("ours", "ours, one call for both"), ("diffusers", "diffusers")):
        image = STEPS * times["unet"][step] + times["vae"][whose]
        print(f"  {whose}: {1 / image:.3f} images/s of {size}×{size}, {STEPS} steps, guided")


@torch.no_grad()
def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--size", type=int, default=512, help="side of the image in pixels (default: 512)")
    parser.add_argument(
        "--dtypes",
        nargs="+",
        metavar="DTYPE",
        help="such as float16 (default: float32 on a CPU, else both half precisions)",
    )
    parser.add_argument(
        "--compile", choices=["no", "yes", "both"], help="with torch.compile (default: no on a CPU, else both)"
    )
    parser.add_argument("--small", action="store_true", help="small networks, to try this out")
    parser.add_argument("--peak", nargs=2, metavar=("PART", "WHOSE"), help="only the memory of one call, in MB")
    arguments = parser.parse_args(words)
    if arguments.peak:
        peak(*arguments.peak, arguments.size)
        return
    device = pick_device()
    cpu = device.type == "cpu"
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"Stable Diffusion v1, {arguments.size}×{arguments.size}, {name}, torch {torch.__version__}")
    ways = {"no": (False,), "yes": (True,), "both": (False, True)}[arguments.compile or ("no" if cpu else "both")]
    for dtype in arguments.dtypes or (["float32"] if cpu else ["float16", "bfloat16"]):
        for compiled in ways:
            compare(device, getattr(torch, dtype), compiled, arguments.size, arguments.rounds, arguments.small)
    if cpu and not arguments.small:
        for part in CALLS:
            memory(part, arguments.size)


if __name__ == "__main__":
    main()
