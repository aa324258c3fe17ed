"""What the browser tests do on a page: find a number box, do something and wait for the picture that it changes."""

from collections.abc import Callable
from typing import Any


def number(page: Any, name: str) -> Any:
    """Return the number box of this name."""
    return page.get_by_role("spinbutton", name=name, exact=True)


def change(page: Any, name: str, act: Callable[[], object]) -> None:
    """Do something, and wait until the image of the class "sd-`name`" is another one."""
    shown = page.locator(f"img.sd-{name}")
    old = shown.get_attribute("src")
    act()
    page.wait_for_function(
        "([shown, old]) => shown.src != old && shown.naturalWidth > 0",
        arg=[shown.element_handle(), old],
        timeout=15_000,
    )
