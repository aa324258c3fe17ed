"""A real JupyterLab with a real Chromium in front of it, for tests of what the learner sees and presses."""

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

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Lab:
    """JupyterLab on a folder of its own, and a browser that opens notebooks in it."""

    def __init__(self, address: str, root: Path, browser: Any) -> None:
        self.address, self.root, self.browser = address, root, browser

    def run(self, name: str, *, only: Sequence[str] = (), sources: Sequence[str] = (), minutes: float = 5) -> Any:
        """Run a copy of a notebook and return the playwright page on which it stands, all cells done.

        Args:
            name: of the notebook, such as ``"01_convolution_kernels.ipynb"``.
            only: run only the code cells that contain one of these texts; all cells by default.
            sources: run these cells instead of the notebook's own.
            minutes: to wait for the last cell.

        Raises:
            AssertionError: a cell showed an error or wrote to stderr, or was not done in time.
        """
        notebook = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        if only:
            cells = [cell for cell in cells if any(text in "".join(cell["source"]) for text in only)]
        if sources:
            cells = [dict(cell_type="code", metadata={}, source=source) for source in sources]
        for cell in cells:
            cell.update(outputs=[], execution_count=None)
            cell.pop("id", None)
        notebook["cells"] = cells
        notebook["metadata"].pop("widgets", None)  # nothing on the page may come from an earlier run
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")

        page = self.browser.new_page(viewport={"width": 1300, "height": 1400})
        page.goto(f"{self.address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        # before the kernel is there, "Run All Cells" would do nothing
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.click("text=Run >> nth=0")
        page.click("text=Run All Cells >> nth=0")
        self._wait_until_done(page, len(cells), minutes)
        errors = page.locator(
            '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
        ).all_inner_texts()
        assert not errors, errors
        assert not page.get_by_text("Click to show javascript error").count(), "a widget could not be drawn"
        return page

    @staticmethod
    def _wait_until_done(page: Any, cells: int, minutes: float) -> None:
        end = time.monotonic() + 60 * minutes
        prompts: list[str] = []
        while time.monotonic() < end:
            prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
            done = [prompt for prompt in prompts if any(letter.isdigit() for letter in prompt)]
            failed = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
            if len(done) >= cells or failed.count():
                return
            time.sleep(0.3)
        raise AssertionError(f"not done after {minutes} minutes: {prompts}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab and Chromium, started once for all browser tests; skips where they are missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    root, settings = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("settings")
    tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    # all cells are on the page, not only those in view, and no question which kernel to take
    tracker.write_text(json.dumps({"windowingMode": "none", "autoStartDefaultKernel": True}))
    server, address = _start_jupyterlab(root, settings)
    try:
        with playwright.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            yield Lab(address, root, browser)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def _start_jupyterlab(root: Path, settings: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STABLEDIFF_")}
    environment |= {f"JUPYTER_{kind}_DIR": str(settings / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
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
