"""The step of ``make test`` that cuts the network really cuts it, and leaves the loopback up."""

import subprocess
import sys
from pathlib import Path

import offline
import pytest

SCRIPT = Path(offline.__file__)
LOOPBACK = (
    "import socket; server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())"
)
# An address for documentation (RFC 5737): with a network the attempt times out, without one it fails at once.
OUTSIDE = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, sys.executable, "-c", code], capture_output=True, text=True)


def test_the_loopback_stays_and_the_exit_code_is_passed_on():
    assert run(LOOPBACK).returncode == 0
    assert run("raise SystemExit(7)").returncode == 7


def test_the_network_is_cut():
    if not offline.can_have_own_network():
        pytest.skip("this system does not let unshare cut the network")
    assert "Network is unreachable" in run(OUTSIDE).stderr


def test_without_unshare_it_says_so_and_closes_the_proxies(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.setattr(offline, "can_have_own_network", lambda: False)
    assert (
        offline.main([sys.executable, "-c", "import os; print(os.environ['https_proxy'], os.environ['no_proxy'])"]) == 0
    )
    said = capfd.readouterr().out
    assert "no unshare" in said
    assert f"{offline.CLOSED} localhost" in said
