"""The command line: ``python -m stablediff_edu COMMAND``. It only reads the line; the work is in ``cli/``."""

import importlib
import os
import signal
import sys

from stablediff_edu.cli.parser import ConciseParser
from stablediff_edu.errors import UserError

# Each module of cli/ has two functions: add_arguments(parser), and run(arguments) -> exit code.
COMMANDS = {
    "doctor": "say whether this machine can run the course, and what would fix it",
    "fetch": "download a real data set into data/",
    "download": "the same as fetch",
    "generate": "generate an image from a prompt, with Stable Diffusion or the course's own tiny model",
    "lab": "open the notebooks in JupyterLab",
    "run": "run the notebooks in order without a screen",
    "segment": "predict masks for your own images, with the weights of train fish",
    "train": "train a pretrained checkpoint, or the same network on your own images",
}


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 it found a problem, 2 the input was bad."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # no console lacks a character so badly that the command must fail
            stream.reconfigure(errors="replace")
    parser = ConciseParser(prog="python -m stablediff_edu", description=__doc__.split(":")[0])
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = sys.argv[1:] if words is None else words
    try:
        for name, help_text in COMMANDS.items():
            command = choices.add_parser(name, help=help_text, description=help_text)
            if name in words[:1]:  # only the chosen command is imported: doctor must run where torch is broken
                module = importlib.import_module(f"stablediff_edu.cli.{'fetch' if name == 'download' else name}")
                module.add_arguments(command)
        return module.run(parser.parse_args(words))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stablediff_edu"):  # this package itself lacks it: an error of ours
            raise
        extras = "pip install 'stablediff_edu[lab,fish,hub]'"
        print(f"stablediff_edu: the package {error.name} is not installed; install it with: {extras}.", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"stablediff_edu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    if sys.path[0] in ("", os.getcwd()):  # `python -m` puts it there; files in it must not stand in for modules
        del sys.path[0]
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that temporary files are removed
    sys.exit(main())
