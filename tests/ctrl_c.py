"""A real Ctrl-C: the signal itself, to a command in a process of its own."""

import signal
import subprocess
import sys


def train_and_interrupt(words: str) -> None:
    """Start `train WORDS`, press Ctrl-C once it has learned something, and see that it ends well."""
    command = [sys.executable, "-u", "-m", "stablediff_edu", "train", *words.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen = ""
    while "loss" not in seen and process.poll() is None:  # the bar shows a loss after the first steps
        seen += process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "stopped early" in rest and "Traceback" not in rest
