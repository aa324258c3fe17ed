"""`train NAME`: the training behind a pretrained checkpoint, or the same network on your own images or text.

The options of a name are fields of its task, see `tasks.task.option`; what all trainings share stands here.
"""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from stablediff_edu.cli.parser import ConciseParser, positive_int, seed
from stablediff_edu.errors import UserError

NOT_IN_COMMAND = ("out", "resume", "evaluate")  # these do not change what is learned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare NAME; what stands behind it is read by the parser of that task, which alone is imported."""
    from stablediff_edu.tasks.registry import TASKS

    table = {name: text for name, (_, text) in TASKS.items()}
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {name:17} {text}" for name, text in table.items())
    parser.epilog = f"names:\n{lines}\n\ntrain NAME --help lists the options of one."
    parser.add_argument("name", metavar="NAME", choices=list(table), help="what to train, see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Train a task, or evaluate its weights."""
    from stablediff_edu.tasks import runner
    from stablediff_edu.tasks.registry import task_class

    name = arguments.name
    kind = task_class(name)
    given = vars(make_parser(name, kind).parse_args(arguments.options))
    out = given.get("out")
    if out and out.suffix != kind.suffix:
        raise UserError(f"The weights are saved as {kind.suffix or 'a folder'}: name it {out.stem}{kind.suffix}.")
    settings = {key: value for key, value in given.items() if key not in (*NOT_IN_COMMAND, "preset")}
    task = replace(kind.presets[given.get("preset") or kind.default_preset(given)], **settings)
    if "evaluate" in given:
        print(runner.evaluate(task, out))
    else:
        runner.run(task, out, command_line(name, given), resume="resume" in given)
    return 0


def make_parser(name: str, kind: Any) -> argparse.ArgumentParser:
    """Return the parser of a task's options; those that are not given are not in its result."""
    parser = ConciseParser(prog=f"python -m stablediff_edu train {name}", argument_default=argparse.SUPPRESS)
    add, types = parser.add_argument, get_type_hints(kind)
    for field in fields(kind):
        if "help" not in field.metadata:
            continue
        how, flag = dict(field.metadata), field.name.replace("_", "-")
        if types[field.name] is bool:
            how |= dict(action="store_const", const=not field.default, dest=field.name)
            flag = f"no-{flag}" if field.default else flag
        elif "choices" not in how:
            how.setdefault("type", Path if types[field.name] in (Path, Path | None) else positive_int)
        add(f"--{flag}", **how)
    presets = [preset for preset in kind.presets if preset in ("quick", "full")]
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


def command_line(name: str, given: dict[str, Any]) -> str:
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
