"""How good are ships drawn in each way? The measures of `train ships --evaluate` for every sampler, side by side.

    python tests/benchmarks/ships.py [weights, pretrained ones by default] [how many samples of each, 100 by default]

Each way asks the network 25 times (heun asks twice a step, and once in the last). What is best here stands in
stablediff_edu/tasks/ddpm_evaluation.py as BEST.
"""

import sys

from stablediff_edu.data.ships.cifar10 import load_cifar10
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.ddpm_evaluation import DEFAULT_SAMPLING, evaluate_ships
from stablediff_edu.tasks.ship_classifier import load_ship_classifier, positive_rate

WAYS = {
    "dpmpp_2m": dict(sampler="dpmpp_2m"),
    "dpmpp_2m, leading": dict(sampler="dpmpp_2m", spacing="leading"),
    "dpmpp_2m, linspace": dict(sampler="dpmpp_2m", spacing="linspace"),
    "dpmpp_2m, not clipped": dict(sampler="dpmpp_2m", clip=False),
    "dpmpp_2m_karras": dict(sampler="dpmpp_2m_karras"),
    "heun, 13 steps": dict(sampler="heun", steps=13),
    "ddim": dict(sampler="ddim"),
    "ddim, η = 0.5": dict(sampler="ddim", eta=0.5),
    "ddpm": dict(sampler="ddpm"),
    "euler": dict(sampler="euler"),
    "euler_ancestral": dict(sampler="euler_ancestral"),
    "pndm": dict(sampler="pndm"),
}


def main(name: str = "ships", count: str = "100") -> None:
    model, metadata = load_diffusion(name)
    classifier, judge_card = load_ship_classifier()
    print(f"{metadata['command']}: {metadata['steps']} steps in {metadata['seconds']} s, {metadata['result']}")
    print(f"the classifier {judge_card['result']}; by class, of the test images:")
    for object_class in ("airplane", "automobile", "truck", "bird", "ship"):
        images, _ = load_cifar10([object_class], train=False, limit=100)
        print(f"  {object_class:<12} {positive_rate(classifier, images.images):.0%}")
    print(f"best so far: {DEFAULT_SAMPLING}\n{'way':<20} {'called ship':>12} {'new':>6} {'varied':>7} {'16 in':>8}")
    for way, options in WAYS.items():
        quality = evaluate_ships(model, metadata, int(count), classifier=classifier, **options)
        print(
            f"{way:<20} {quality.ships:>12.1%} {quality.novelty:>6.2f} {quality.relative_diversity:>7.2f} "
            f"{quality.seconds:>6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
