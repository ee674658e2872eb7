"""Debian's chromium for tests of pages, and the contrast of what it shows."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
"""Marks of a file whose tests need the browser."""


@contextmanager
def running_browser():
    """Run a browser without a window."""
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def open_page(context, url, path, ready):
    """Open a page of a service and wait for what shows that it is ready; ``faults`` lists what it must not do."""
    made = context.new_page()
    made.faults = []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on("console", lambda message: made.faults.append(message.text) if message.type == "error" else None)
    made.on("request", lambda sent: None if sent.url.startswith((url, "blob:")) else made.faults.append(sent.url))
    made.goto(url + path)
    made.wait_for_selector(ready)
    return made


COLOURS = """() => {
  const back = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/rgba\\(.*, 0\\)/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((one) =>
    one.checkVisibility() && !one.disabled && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.map((one) => [one.textContent.trim(), getComputedStyle(one).color, back(one)]);
}"""
"""Script that returns each text of a page with its colour and that behind it."""


WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def violations(page):
    """Return what axe finds on a page against the rules of WCAG 2.2 AA: the rule and the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text()
    page.evaluate(f"(() => {{ {script} }})()")  # as a policy of a page refuses scripts of others
    found = page.evaluate("options => axe.run(document, options)", WCAG)["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Return the contrast of two colours by WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
