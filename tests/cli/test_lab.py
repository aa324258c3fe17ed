"""``make lab`` and ``lab`` start JupyterLab at the first notebook, with the settings of the course."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stablediff_edu.cli import lab

ROOT = Path(__file__).resolve().parents[2]
FIRST = "01_convolution_kernels.ipynb"  # JupyterLab lists the notebooks' own folder


@pytest.mark.skipif(os.name == "nt", reason="the Makefile is for systems with make and sh")
def test_lab_opens_at_the_first_notebook_with_its_settings(tmp_path: Path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    environment |= {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    flags = "LAB_FLAGS=--no-browser --port=0"
    dry = subprocess.run(["make", "--dry-run", "lab", flags], cwd=ROOT, capture_output=True, text=True, env=environment)
    command = dry.stdout.splitlines()[-1]  # the line itself, since make would first set up .venv
    log = tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        about = json.loads(when_there(tmp_path / "RUNTIME", server, log).read_text())

        def ask(path: str, tries: int = 100) -> dict:
            request = urllib.request.Request(about["url"] + path, headers={"Authorization": f"token {about['token']}"})
            try:
                with urllib.request.urlopen(request) as answer:
                    return json.load(answer)
            except urllib.error.URLError as error:  # the file is written before the server listens
                if not isinstance(error.reason, ConnectionRefusedError) or not tries:
                    raise
            time.sleep(0.1)
            return ask(path, tries - 1)

        assert ask(f"api/contents/{FIRST}?content=0")["type"] == "notebook"
        assert f"/lab/tree/{FIRST}" in log.read_text()
        settings = ask("lab/api/settings/@jupyterlab/apputils-extension:kernels-settings")
        assert settings["schema"]["properties"]["commsOverSubshells"]["default"] == "disabled"
    finally:
        server.terminate()
        server.wait(20)


def when_there(folder: Path, server: subprocess.Popen, log: Path) -> Path:
    """Wait for the file in which the server says where it listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        for file in folder.glob("jpserver-*.json"):
            if file.stat().st_size:
                return file
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start: {log.read_text()}")


def test_an_installed_package_copies_the_notebooks_once(tmp_path: Path, monkeypatch):
    included = tmp_path / "site" / "stablediff_edu" / "included" / "notebooks"
    included.mkdir(parents=True)
    (included / FIRST).write_text("new")
    monkeypatch.setattr(lab, "PACKAGE", tmp_path / "site" / "stablediff_edu")
    folder = lab.notebooks(tmp_path / "mine")
    (folder / FIRST).write_text("edited")
    assert lab.notebooks(tmp_path / "mine") == folder and (folder / FIRST).read_text() == "edited"
