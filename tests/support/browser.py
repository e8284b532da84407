"""A real headless Chromium for tests, spoken to over a pipe, so that no library is needed."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (Debian package chromium)"
)


BECOME = """
import os, sys
# copies above all that are in use, so that neither covers the other
read_from, write_to = (os.dup2(int(number), 900 + int(number)) for number in sys.argv[1:3])
os.dup2(read_from, 3)
os.dup2(write_to, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Gives the browser its two ends of the pipes as 3 and 4, and becomes it."""


class Pipe:
    """The DevTools protocol: JSON messages that end with NUL, on file descriptors 3 and 4."""

    def __init__(self, write_to: int, read_from: int) -> None:
        self._write_to = write_to
        self._read_from = read_from
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_until_loaded(self, loader: str) -> None:
        """Wait for the load event of a navigation: no other's, as one may have been under way."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                params = event.get("params", {})
                if params.get("name") == "load" and params.get("loaderId") == loader:
                    return
            seen = len(self.events)
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = os.read(self._read_from, 1 << 16)
            if not found:
                raise AssertionError("Chromium has ended")
            self._rest += found
        message, _, self._rest = self._rest.partition(b"\0")
        event: dict[str, Any] = json.loads(message)
        return event


@dataclass
class Tab:
    """A page in the browser."""

    pipe: Pipe
    session: str
    messages: list[str] = field(default_factory=list)
    """What the console, the network and uncaught errors said of the page opened last."""
    requests: list[str] = field(default_factory=list)
    """What the page opened last asked for, itself too."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.pipe.call(method, self.session, **params)

    def look(self, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """The size of the window, and whether the reader's system is dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    def open(self, page: Path | str) -> None:
        """Open a page and wait until it and all it includes is loaded."""
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        self._collect()
        self.messages.clear()
        self.requests.clear()
        self.pipe.wait_until_loaded(self.call("Page.navigate", url=url)["loaderId"])
        self._collect()

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        self._collect()
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_until(self, script: str, seconds: float = 10) -> float:
        """Wait until the expression is true; returns how long it took."""
        started = time.monotonic()
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < started + seconds, f"not within {seconds} s: {script}"
            time.sleep(0.02)
        return time.monotonic() - started

    def press(self, key: str) -> None:
        """A key as a person presses it: a character, or a name such as Enter."""
        codes = {
            **{"Enter": 13, "Escape": 27, "Tab": 9},
            **{"ArrowUp": 38, "ArrowDown": 40, "Backspace": 8},
        }
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        values = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), **text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        for character in text:
            self.press(character)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The page as PNG: what the window shows, or all of it."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def _collect(self) -> None:
        rest = []
        for event in self.pipe.events:
            if event.get("sessionId") != self.session:
                rest.append(event)
                continue
            params = event.get("params", {})
            match event.get("method"):
                case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                    self.messages.append(str([one.get("value") for one in params["args"]]))
                case "Runtime.exceptionThrown":
                    self.messages.append(str(params["exceptionDetails"]))
                case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                    self.messages.append(str(params["entry"]["text"]))
                case "Network.requestWillBeSent":
                    self.requests.append(str(params["request"]["url"]))
        self.pipe.events[:] = rest


@contextmanager
def chromium() -> Iterator[Tab]:
    """A tab of a new browser, with an empty profile, which reaches nothing but this machine."""
    assert CHROMIUM
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        (from_us, write_to), (read_from, to_us) = os.pipe(), os.pipe()
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"),
            *("--disable-dev-shm-usage", "--disable-background-networking", "about:blank"),
        ]

        process = subprocess.Popen(
            [sys.executable, "-c", BECOME, str(from_us), str(to_us), *command],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(to_us)
        try:
            pipe = Pipe(write_to, read_from)
            target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
            session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            tab = Tab(pipe, session)
            for domain in ("Page", "Runtime", "Log", "Network"):
                tab.call(f"{domain}.enable")
            tab.call("Page.setLifecycleEventsEnabled", enabled=True)
            tab.look()
            yield tab
        finally:
            os.close(write_to)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            os.close(read_from)
