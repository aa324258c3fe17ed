"""How good are ships drawn in each way? The measures of `train ships --evaluate` for every sampler, side by side.

    python tests/benchmarks/ships.py [weights, shipped ones by default] [how many samples of each, 100 by default]

Each way asks the network 25 times (heun asks twice a step, and once in the last). What is best here stands in
stablediff_edu/training/sample_quality.py as BEST.
"""

import sys

from stablediff_edu.datasets.cifar10 import load_cifar10
from stablediff_edu.training.diffusion_recipes import load_diffusion
from stablediff_edu.training.sample_quality import BEST, evaluate_ships
from stablediff_edu.training.ship_classifier import load_classifier, share_of_ships

WAYS = {
    "dpm++": dict(sampler="dpm++"),
    "dpm++, leading": dict(sampler="dpm++", spacing="leading"),
    "dpm++, linspace": dict(sampler="dpm++", spacing="linspace"),
    "dpm++, not clipped": dict(sampler="dpm++", clip=False),
    "dpm++ karras": dict(sampler="dpm++ karras"),
    "heun, 13 steps": dict(sampler="heun", steps=13),
    "ddim": dict(sampler="ddim"),
    "ddim, η = 0.5": dict(sampler="ddim", eta=0.5),
    "ddpm": dict(sampler="ddpm"),
    "euler": dict(sampler="euler"),
    "euler-ancestral": dict(sampler="euler-ancestral"),
    "pndm": dict(sampler="pndm"),
}


def main(name: str = "ships", count: str = "100") -> None:
    model, card = load_diffusion(name)
    judge, judge_card = load_classifier()
    print(f"{card['command']}: {card['steps']} steps in {card['seconds']} s, {card['result']}")
    print(f"the judge {judge_card['result']}; by class, of the test pictures:")
    for thing in ("airplane", "automobile", "truck", "bird", "ship"):
        pictures, _ = load_cifar10([thing], train=False, most=100)
        print(f"  {thing:<12} {share_of_ships(judge, pictures.pictures):.0%}")
    print(f"best so far: {BEST}\n{'way':<20} {'called ship':>12} {'new':>6} {'varied':>7} {'16 in':>8}")
    for way, options in WAYS.items():
        quality = evaluate_ships(model, card, int(count), classifier=judge, **options)
        print(
            f"{way:<20} {quality.ships:>12.1%} {quality.newness:>6.2f} {quality.relative_variety:>7.2f} "
            f"{quality.seconds:>6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
