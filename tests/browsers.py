"""A real browser for tests of pages: Debian's chromium, driven by playwright, talking to this machine only."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


def program() -> str:
    """Where the browser is; the test is skipped, saying so, where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        print(f"no browser on this machine: none of {', '.join(PROGRAMS)}")
        pytest.skip("no browser on this machine (apt-get install chromium-headless-shell)")
    return found


@contextmanager
def chromium() -> Iterator:
    """A browser process; each of its contexts is a person's browser of their own, without cookies."""
    executable = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        process = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        try:
            yield process
        finally:
            process.close()
