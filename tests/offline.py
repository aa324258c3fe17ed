"""Run a command with the network cut and the loopback left up: ``python tests/offline.py COMMAND …``

Jupyter's kernels live on the loopback. Where Linux lets us, the command gets a network of its own that holds nothing
else; elsewhere its proxy settings point at a closed port, which stops what honours them. It says which of the two.
"""

import os
import shutil
import subprocess
import sys

CLOSED = "http://127.0.0.1:9"  # the port of "discard", where nothing listens
LOOPBACK_UP = 'ip link set lo up && exec "$@"'
OWN_NETWORK = ["unshare", "--map-root-user", "--net", "sh", "-c", LOOPBACK_UP, "sh"]


def can_have_own_network() -> bool:
    """Whether unshare (util-linux) and ip (iproute2) are here, and this system allows their use."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*OWN_NETWORK, "true"], capture_output=True).returncode == 0


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    if can_have_own_network():
        print("offline: the network is cut, the loopback is up (unshare)", flush=True)
        return subprocess.run([*OWN_NETWORK, *command]).returncode
    print("offline: this system has no unshare; proxies point at a closed port instead", flush=True)
    proxies = {name: CLOSED for kind in ("http", "https", "all") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())}
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1")
    return subprocess.run(command, env=os.environ | proxies | local).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
