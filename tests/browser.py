"""A real browser for the tests of pages: what CHROME_PATH names, one that is installed, or that of ``make browser``."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")


def browser_path(api):
    """The browser's program, None where there is none."""
    own = api.chromium.executable_path
    return os.environ.get("CHROME_PATH") or next(filter(None, map(shutil.which, NAMES)),
                                                 own if Path(own).exists() else None)


@contextlib.contextmanager
def open_browser():
    """playwright's browser; the tests that need it are skipped where playwright or a browser is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as api:
        path = browser_path(api)
        if path is None:
            pytest.skip("no Chromium, Chrome or Edge is installed: run make browser, or name one in CHROME_PATH")
        browser = api.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
