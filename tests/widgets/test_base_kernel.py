"""Panels in a kernel, which takes messages as from a browser: interrupt, newest value, a running cell, subshells."""

import os
import queue
import time
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

SETUP = """
import panel_factory, threading, time
from stablediff_edu.widgets import base
from stablediff_edu.widgets.controls import Button

log = []

class Slow(base.Panel):
    def __init__(self):
        super().__init__("Slow", Button("go"))
        self.control = self.controls["go"]
        self.follow(self.work, "go")

    def work(self):
        number = self["go"]
        for step in range(40):
            log.append((number, step, threading.current_thread() is threading.main_thread()))
            time.sleep(0.05)
            yield
        self.say(f"done {number}")

panel = Slow()
"""


class Kernel:
    """A kernel and its client; widget messages go to its shell, or to a subshell."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        tests = Path(__file__).resolve().parents[1]
        path = os.pathsep.join([str(tests), str(tests.parent), *paths])
        self.manager.start_kernel(env=os.environ | {"PYTHONPATH": path})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Run a cell and return what it printed."""
        printed = []

        def hook(message: dict) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])
            assert message["msg_type"] != "error", "\n".join(message["content"]["traceback"])

        self.client.execute_interactive(code, timeout=60, output_hook=hook)
        return "".join(printed).strip()

    def set(self, comm: str, subshell: str | None = None, **values: object) -> None:
        """Change a widget as the browser does."""
        content = dict(comm_id=comm, data=dict(method="update", state=values, buffer_paths=[]))
        message = self.client.session.msg("comm_msg", content)
        if subshell:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    def subshell(self) -> str:
        """Start a subshell, as JupyterLab does by default for widget messages."""
        self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
        for _ in range(20):
            try:
                reply = self.client.control_channel.get_msg(timeout=5)
            except queue.Empty:
                break
            if reply["msg_type"] == "create_subshell_reply":
                return reply["content"]["subshell_id"]
        pytest.skip("this kernel has no subshells")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true in the kernel."""
        end = time.monotonic() + 20
        while self.run(f"print(bool({expression}))") != "True":
            assert time.monotonic() < end, self.run("print(log[-3:], panel.note.value, panel.note.state)")
            time.sleep(0.1)


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    kernel.run(SETUP)
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


@pytest.fixture
def comm(kernel) -> str:
    """The comm of the slow panel's button, with an empty log."""
    kernel.run("panel.cancel(); log.clear()")
    return kernel.run("print(panel.control.comm.comm_id)")


def clicks(kernel) -> int:
    return int(kernel.run("print(panel.control.value)"))


def test_between_its_steps_the_kernel_takes_messages_and_the_newest_value_wins(kernel, comm):
    first = clicks(kernel) + 1
    kernel.set(comm, value=first)
    kernel.wait("log")
    assert kernel.run("print(panel.note.state)") == "busy"
    kernel.set(comm, value=first + 1)
    kernel.wait(f"panel.note.value == 'done {first + 1}'")
    steps = kernel.run(
        f"print(sum(number == {first} for number, *_ in log), len([1 for n, *_ in log if n == {first + 1}]))"
    )
    assert int(steps.split()[0]) < 40 and steps.split()[1] == "40"


def test_the_stop_button_ends_a_computation_and_the_kernel_lives(kernel, comm):
    kernel.set(comm, value=clicks(kernel) + 1)
    kernel.wait("log")
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()
    kernel.wait("panel.note.state == 'error'")
    assert "Stopped." in kernel.run("print(panel.note.value)")


def test_cancel_ends_a_computation(kernel, comm):
    kernel.set(comm, value=clicks(kernel) + 1)
    kernel.wait("log")
    content = dict(comm_id=kernel.run("print(panel.note.comm.comm_id)"), data=dict(method="custom", content="cancel"))
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))
    kernel.wait("'Stopped' in panel.note.value")


def test_from_a_subshell_nothing_runs_beside_a_cell(kernel, comm):
    subshell, value = kernel.subshell(), clicks(kernel) + 1
    kernel.client.execute("time.sleep(1.5); beside = len(log)")
    time.sleep(0.4)
    kernel.set(comm, subshell, value=value)
    kernel.wait("log")
    assert kernel.run("print(beside)") == "0"
    assert kernel.run("print(all(main for *_, main in log))") == "True"
    kernel.wait(f"panel.note.value == 'done {value}'")


def test_in_a_cell_it_computes_to_the_end(kernel, comm):
    assert kernel.run("panel.control.click(); print(panel.note.value == f'done {panel.control.value}')") == "True"


def test_a_cell_that_ends_with_a_panel_stores_its_still(kernel):
    stored = []
    kernel.client.execute_interactive(
        "panel_factory.make('jpeg')", timeout=60,
        output_hook=lambda message: stored.append(message["content"]) if "data" in message["content"] else None,
    )  # fmt: skip
    (output,) = [one for one in stored if "image/png" in one.get("data", {})]
    assert "application/vnd.jupyter.widget-view+json" in output["data"]
    assert output["metadata"]["image/png"]["alt"] == output["data"]["text/plain"].strip()
