"""Are all outputs bit-identical before and after a refactoring, on one machine?

    python tests/benchmarks/bit_identity.py --save before.json      # on the old commit
    python tests/benchmarks/bit_identity.py --compare before.json   # on the new one

It hashes a sample of every synthetic dataset, the output of every pretrained model on fixed inputs, and samples of
every sampler (tests/golden.py). The package is the one that PYTHONPATH or the installation names. Entries are compared
by name, and names that only one side has are reported.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["STABLEDIFF_DEVICE"] = "cpu"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import golden


def hashes() -> dict[str, str]:
    groups = {"data": golden.DATASETS, "model": golden.MODELS, "sampler": golden.SAMPLES}
    return {
        f"{kind} {name}": golden.sha256(make()) for kind, entries in groups.items() for name, make in entries.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--save", type=Path, metavar="FILE", help="write the hashes to FILE")
    choice.add_argument("--compare", type=Path, metavar="FILE", help="compare with the hashes in FILE")
    options = parser.parse_args()
    found = hashes()
    if options.save:
        options.save.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{len(found)} hashes written to {options.save}")
        return 0
    stored = json.loads(options.compare.read_text(encoding="utf-8"))
    differing = [name for name in {**stored, **found} if stored.get(name) != found.get(name)]
    for name in differing:
        reason = "differs" if name in stored and name in found else "missing now" if name in stored else "new"
        print(f"{name}: {reason}")
    print(f"{len(found) - sum(name in found for name in differing)} of {len(stored)} outputs are bit-identical")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
