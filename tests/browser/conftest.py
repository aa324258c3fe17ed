"""A real JupyterLab (and Notebook 7) with a real Chromium in front of it, for what learners see and press."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook(sources: Sequence[str], outputs: Sequence[list] = ()) -> str:
    """Return a notebook with these code cells, and with their outputs if given."""
    cells = [dict(cell_type="code", metadata={}, source=source, execution_count=None, outputs=[]) for source in sources]
    for cell, stored in zip(cells, outputs, strict=False):
        cell["outputs"] = stored
    return json.dumps(dict(cells=cells, metadata={"kernelspec": KERNEL}, nbformat=4, nbformat_minor=4))


class Server:
    """A Jupyter server on a folder of its own, and a browser that opens notebooks in it."""

    def __init__(self, address: str, root: Path, browser: Any) -> None:
        self.address, self.root, self.browser = address, root, browser

    def open(self, name: str, where: str = "lab/tree") -> Any:
        """Open a notebook and return its page."""
        page = self.browser.new_page(viewport={"width": 1300, "height": 1400})
        page.goto(f"{self.address}/{where}/{name}" + ("?reset" if where == "lab/tree" else ""))
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.set_default_timeout(8_000)
        return page

    def run(self, name: str, sources: Sequence[str], where: str = "lab/tree", minutes: float = 3) -> Any:
        """Open a notebook of these cells, run it, and return its page, all cells done without an error."""
        (self.root / name).write_text(notebook(sources), encoding="utf-8")
        page = self.open(name, where)
        if where == "lab/tree":
            page.get_by_text("| Idle").wait_for(timeout=90_000)  # before, "Run All Cells" would do nothing
        else:
            page.locator('[data-status="idle"]').first.wait_for(timeout=90_000)
        page.click("text=Run >> nth=0")
        page.click("text=Run All Cells >> nth=0")
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
            failed = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
            if failed.count() or sum(any(letter.isdigit() for letter in prompt) for prompt in prompts) >= len(sources):
                break
            time.sleep(0.3)
        errors = page.locator('[data-mime-type*="jupyter.stderr"], [data-mime-type*="jupyter.error"]').all_inner_texts()
        assert not errors, errors
        assert not page.get_by_text("Click to show javascript error").count(), "a widget could not be shown"
        return page


@pytest.fixture(scope="module")  # while it is open, asyncio has a running loop, in which other tests' asyncio.run fails
def browser() -> Iterator[Any]:
    """Chromium; skips where it is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab and Notebook 7 on one server, with the settings of `make lab`."""
    root = tmp_path_factory.mktemp("notebooks")
    process, address = start(root, tmp_path_factory.mktemp("settings"))
    yield Server(address, root, browser)
    process.terminate()
    process.wait(30)


def start(root: Path, settings: Path) -> tuple[subprocess.Popen, str]:
    """Start a server on a folder, with the settings of `make lab`; return its process and address."""
    from stablediff_edu.cli.lab import SETTINGS

    ours = json.loads((SETTINGS / "labconfig/default_setting_overrides.json").read_text(encoding="utf-8"))
    # all cells are on the page, not only those in view, and no question which kernel to take
    tracker = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "autoStartDefaultKernel": True}}
    for name, values in {**ours, **tracker}.items():
        plugin, _, file = name.partition(":")
        path = settings / plugin / f"{file}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STABLEDIFF_")}
    environment |= {f"JUPYTER_{kind}_DIR": str(settings / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={root}", f"--LabApp.user_settings_dir={settings}"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{address}/api", timeout=5):
                return server, address
        except OSError:
            time.sleep(0.2)
    server.kill()
    raise AssertionError("JupyterLab did not start within a minute")
