"""From a key to the last new pixels in the browser, for every panel.

    python tests/benchmarks/panels.py [panel …]

JupyterLab and Chromium; panels with small untrained networks, the kernel editor at 256×256, and the text-to-image panel
with the pretrained tiny Stable Diffusion at 20 sampling steps.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "browser"), str(TESTS)]
MOVES = 9
TINY = "text_to_image, tiny SD"
# what is pressed, by turns: (role, name, keys, wanted milliseconds)
PRESSED = {
    "kernel_editor": ("spinbutton", "values row 1 column 1", "ArrowUp ArrowDown", 60),
    "unet_inspector": ("slider", "channel", "End Home", 100),
    "position_encoding": ("slider", "position", "ArrowRight ArrowLeft", 100),
    "denoising": ("slider", "timestep t", "ArrowRight ArrowLeft", "model"),
    "sampler": ("slider", "sampling step", "Home End", 100),
    "jpeg": ("slider", "quality", "ArrowRight ArrowLeft", 100),
    "latent_map": ("application", "latent space", "ArrowRight ArrowLeft", 60),
    "latent_sliders": ("slider", "z₁", "Home End", 100),
    "embedding_projector": ("slider", "neighbors", "Home End", 100),
    "analogies": ("checkbox", "exclude the question words", "Space Space", 100),
    "attention": ("slider", "head", "End Home", 100),
    "qkv_matrices": ("application", "column 1", "ArrowUp ArrowDown", 100),
    "clip_search": ("slider", "page", "End Home", 100),
    "text_to_image": ("slider", "sampling step", "Home End", 100),
    "training_replay": ("slider", "snapshot", "Home End", 100),
    "cross_attention": ("slider", "sampling step", "Home End", 100),
    "sketch": ("slider", "strength", "ArrowLeft ArrowRight", "model"),
    "inpainting": ("slider", "left", "ArrowRight ArrowLeft", "model"),
    TINY: ("slider", "guidance scale", "ArrowRight ArrowLeft", 500),
}
CELLS = {
    "kernel_editor": "import stablediff_edu as sd; sd.widgets.KernelEditor(256)",
    TINY: 'import stablediff_edu as sd; sd.widgets.TextToImagePanel(sd.load_tiny_sd()[0], "a red boat")',
}
# the time from a key to the latest image, new pixels of a canvas, or new table
WATCH = """(panel) => {
  panel.addEventListener("keydown", () => { [panel.pressed, panel.took] = [performance.now(), 0]; }, true);
  const done = () => requestAnimationFrame(() => { panel.took = performance.now() - panel.pressed; });
  panel.addEventListener("load", done, true);
  const changes = new MutationObserver(done);
  for (const table of panel.querySelectorAll(".sd-table")) changes.observe(table, { childList: true, subtree: true });
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...args) { put.apply(this, args); done(); };
}"""
SETTLED = "panel => panel.took && !panel.querySelector('.sd-busy')"


def main() -> None:
    from conftest import CHROMIUM_FLAGS, Server, start
    from playwright.sync_api import sync_playwright

    names = sys.argv[1:] or list(PRESSED)
    root = Path(tempfile.mkdtemp())
    process, address = start(root, Path(tempfile.mkdtemp()))
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
            cells = ["import panel_factory", *(CELLS.get(name, f"panel_factory.make({name!r})") for name in names)]
            page = Server(address, root, browser).run("panels.ipynb", cells, minutes=2)
            page.wait_for_function(f"document.querySelectorAll('.sd-panel').length === {len(names)}", timeout=30_000)
            page.wait_for_timeout(3000)  # until all stills and canvases are drawn
            for name, panel in zip(names, page.locator(".sd-panel").all(), strict=True):
                print(measure(name, page, panel), flush=True)
            browser.close()
    finally:
        process.terminate()


def measure(name: str, page, panel) -> str:
    """Press the keys of a panel and return a line on the times."""
    role, label, keys, limit = PRESSED[name]
    panel.scroll_into_view_if_needed()
    panel.evaluate(WATCH)
    by_label = panel.locator(f'[role=application][aria-label^="{label}"]')
    target = by_label if role == "application" else panel.get_by_role(role, name=label, exact=True).first
    target.focus()
    times, handle = [], panel.element_handle()
    for move in range(MOVES + 1):
        target.press(keys.split()[move % 2])
        page.wait_for_function(SETTLED, arg=handle)
        page.wait_for_timeout(150)
        times.append(panel.evaluate("panel => panel.took"))
    median, worst = statistics.median(times[1:]), max(times[1:])
    wanted = "computes a model" if limit == "model" else f"wanted {limit} ms"
    return f"{name:22} median {median:4.0f} ms, worst {worst:4.0f} ms  ({wanted})"


if __name__ == "__main__":
    main()
