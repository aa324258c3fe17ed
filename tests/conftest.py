"""What all tests share: no network but this machine's own, and the real data where it is at hand."""

import ipaddress
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

# The course does without torchvision. Where it is installed and does not fit torch, diffusers could not be imported.
sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that: tests that interrupt would wait.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
_REAL_DATA = Path(os.environ.get("STABLEDIFF_DATA") or ROOT.parent / "shared/data")


# With several processes (make units) a file is run by one of them: the long ones begin, so that all end together.
LONG = ["test_notebooks_there.py", "test_panels.py", "test_base.py", "test_run.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: compressed ones hold the time, and every process must name a test alike."""
    return f"{len(val)}bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, laid out as data/ is; a test that asks for it skips where there is none."""
    if not _REAL_DATA.is_dir():
        pytest.skip("no real data here: set STABLEDIFF_DATA to a folder that holds fish/, mnist/ and so on")
    return _REAL_DATA.resolve()


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on synthetic data and the quick preset, whatever this shell has been told."""
    monkeypatch.delenv("STABLEDIFF_DATA", raising=False)
    monkeypatch.delenv("STABLEDIFF_PRESET", raising=False)


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test reach this machine alone; anything further ends it, loudly, since code under test expects OSError."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            pytest.fail(f"this test reached for the network: {address}")
        return connect(self, address)

    def guarded_look_up(host: object, *others: object, **named: object) -> list:
        if not _is_local(host):
            pytest.fail(f"this test looked up a host on the network: {host}")
        return look_up(host, *others, **named)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
