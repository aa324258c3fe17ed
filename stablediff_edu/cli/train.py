"""`train NAME`: the training behind a pretrained checkpoint, or the same network on your own images or text.

The options of a name are fields of its task, see `tasks.task.option`; what all trainings share stands here.
"""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from stablediff_edu.cli import train_old
from stablediff_edu.cli.parser import ConciseParser, positive_int, seed
from stablediff_edu.errors import UserError

NOT_IN_COMMAND = ("out", "resume", "evaluate")  # these do not change what is learned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from stablediff_edu.tasks.registry import TASKS

    table = "\n".join(f"  {name:17} {help}" for name, (_, help) in TASKS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"names:\n{table}\n\ntrain NAME --help lists the options of one."
    parser.add_argument("name", metavar="NAME", choices=[*TASKS, *train_old.NAMES], help="what to train, see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.tasks import runner
    from stablediff_edu.tasks.registry import task_class

    if arguments.name in train_old.NAMES:
        return train_old.run_old(arguments)
    kind = task_class(arguments.name)
    given = vars(_parser(kind).parse_args(arguments.options))
    out = given.get("out")
    if out and out.suffix != kind.suffix:
        raise UserError(f"The weights are saved as {kind.suffix or 'a folder'}: name it {out.stem}{kind.suffix}.")
    settings = {name: value for name, value in given.items() if name not in (*NOT_IN_COMMAND, "preset")}
    task = replace(kind.presets[given.get("preset") or _default_preset(kind, given)], **settings)
    if given.get("evaluate"):
        print(runner.evaluate(task, out))
    else:
        runner.run(task, out, _command(arguments.name, given), resume="resume" in given)
    return 0


def _parser(kind: Any) -> argparse.ArgumentParser:
    """Return the parser of one task's options."""
    parser = ConciseParser(prog=f"python -m stablediff_edu train {kind.name}", argument_default=argparse.SUPPRESS)
    add, types = parser.add_argument, get_type_hints(kind)
    for field in fields(kind):
        if "help" not in field.metadata:
            continue
        how = dict(field.metadata)
        name = field.name.replace("_", "-")
        if types[field.name] is bool:
            how |= dict(action="store_const", const=not field.default, dest=field.name)
            name = f"no-{name}" if field.default else name
        elif "choices" not in how:
            how.setdefault("type", Path if types[field.name] == Path | None else positive_int)
        add(f"--{name}", **how)
    presets = [name for name in kind.presets if name in ("quick", "full")]
    if presets:
        add("--preset", choices=presets, help="the hyperparameters of the notebook; full is for a GPU")
        add("--quick", dest="preset", action="store_const", const="quick", help="the same as --preset quick")
    add("--steps", type=positive_int, help="how many training steps")
    add("--seed", type=seed, help="another seed gives other first weights and another order of the data")
    add("--init", type=Path, metavar="FILE", help="begin with these weights, not with random ones")
    add("--out", type=Path, metavar="FILE", help=f"where the weights go ({kind.suffix or 'a folder'})")
    add("--resume", action="store_const", const=True, help="resume a stopped training, or say that there is none")
    add("--evaluate", action="store_const", const=True, help="only evaluate: the weights of --out, or the pretrained")
    return parser


def _default_preset(kind: Any, given: dict[str, Any]) -> str:
    wanted = "own" if "images" in given else "pretrained"
    return wanted if wanted in kind.presets else "quick"


def _command(name: str, given: dict[str, Any]) -> str:
    """Return the command that gives the same training again."""
    words = [f"python -m stablediff_edu train {name}"]
    for option, value in given.items():
        if option in NOT_IN_COMMAND:
            continue
        flag = option.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words.append(f"--{flag} {','.join(map(str, value))}")
        else:
            words.append(f"--{flag} {value.name if isinstance(value, Path) else value}")
    return " ".join(words)
