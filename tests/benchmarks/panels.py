"""From a key to new pixels in the browser, for every panel, and from a value to the PNG in the kernel.

    python tests/benchmarks/panels.py

JupyterLab and Chromium; panels with small untrained networks, the kernel editor at 256×256, the prompt box with the
pretrained tiny Stable Diffusion (20 sampling steps).
"""

import statistics
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "browser"), str(TESTS)]
MOVES = 15
# what is pressed, by turns: (role, name, keys)
PRESSED = {
    "kernel_editor": ("spinbutton", "kernel row 1 column 1", ("ArrowUp", "ArrowDown")),
    "unet_inspector": ("slider", "channel", ("End", "Home")),
    "position": ("slider", "position", ("ArrowRight", "ArrowLeft")),
    "denoising": ("slider", "timestep t", ("ArrowRight", "ArrowLeft")),
    "sampler": ("slider", "sampling step", ("Home", "End")),
    "jpeg": ("slider", "quality", ("ArrowRight", "ArrowLeft")),
    "latent_map": ("application", "latent space", ("ArrowRight", "ArrowLeft")),
    "latent_sliders": ("slider", "z₁", ("Home", "End")),
    "attention": ("slider", "head", ("End", "Home")),
    "qkv_matrices": ("application", "column 1", ("ArrowUp", "ArrowDown")),
    "clip_search": ("slider", "page", ("End", "Home")),
    "training_replay": ("slider", "snapshot", ("Home", "End")),
    "prompt box, tiny SD": ("slider", "guidance scale", ("ArrowRight", "ArrowLeft")),
}
CELLS = {
    "kernel_editor": "import stablediff_edu as sd; sd.kernel_editor(256)",
    "prompt box, tiny SD": "import stablediff_edu as sd; sd.text_to_image_panel(sd.load_tiny_sd())",
}
# the time from a key to the next image that is loaded, or to new pixels of the canvas
WATCH = """(panel) => {
  panel.times = [];
  panel.addEventListener("keydown", () => { panel.pressed = performance.now(); }, true);
  const done = () => { if (panel.pressed) panel.times.push(performance.now() - panel.pressed); panel.pressed = 0; };
  for (const image of panel.querySelectorAll("img")) image.addEventListener("load", done);
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...args) { put.apply(this, args); done(); };
}"""


def main() -> None:
    from conftest import CHROMIUM_FLAGS, Server, _start
    from playwright.sync_api import sync_playwright

    names = list(PRESSED)
    root = Path(tempfile.mkdtemp())
    process, address = _start(root, Path(tempfile.mkdtemp()))
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
            cells = ["import panel_factory", *(CELLS.get(name, f"panel_factory.make('{name}')") for name in names)]
            page = Server(address, root, browser).run("panels.ipynb", cells, minutes=5)
            for name, panel in zip(names, page.locator(".sd-panel").all(), strict=True):
                role, label, keys = PRESSED[name]
                panel.scroll_into_view_if_needed()
                panel.evaluate(WATCH)
                by_label = panel.locator(f'[role=application][aria-label^="{label}"]')
                target = by_label if role == "application" else panel.get_by_role(role, name=label, exact=True).first
                target.focus()
                for move in range(MOVES):
                    target.press(keys[move % 2])
                    page.wait_for_function("([panel, n]) => panel.times.length > n", arg=[panel.element_handle(), move])
                    page.wait_for_timeout(100)
                times = panel.evaluate("panel => panel.times")
                print(f"{name:20} median {statistics.median(times):5.0f} ms, worst {max(times):5.0f} ms", flush=True)
            browser.close()
    finally:
        process.terminate()


if __name__ == "__main__":
    main()
