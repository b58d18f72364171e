"""A headless Chromium, driven through its own pipe (DevTools protocol), without any package for it."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 120


def find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page; `call` sends a command of the protocol and returns its result."""

    def __init__(self, to_browser: int, from_browser: int):
        self.out, self.into, self.count, self.rest, self.session = to_browser, from_browser, 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **params) -> dict:
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        os.write(self.out, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            while b"\0" in self.rest:
                line, self.rest = self.rest.split(b"\0", 1)
                answer = json.loads(line)
                if answer.get("id") == self.count:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]
            assert select.select([self.into], [], [], until - time.monotonic())[0], f"{method}: no answer"
            found = os.read(self.into, 1 << 20)
            assert found, f"{method}: the browser is gone"
            self.rest += found

    def value(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str):
        """The value of an expression as soon as it is one."""
        until = time.monotonic() + SECONDS
        while not (value := self.value(expression)):
            assert time.monotonic() < until, (expression, self.value("document.body.innerText"))
            time.sleep(0.05)
        return value

    def choose(self, selector: str, paths) -> None:
        """Put files into a file input, as a person would by its dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextlib.contextmanager
def opened(profile):
    """A Page in a browser of its own, whose files lie in the folder `profile`."""
    theirs_in, ours_out, ours_in, theirs_out = (_high(end) for pair in (os.pipe(), os.pipe()) for end in pair)
    command = [find(), "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-gpu",
               "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--force-color-profile=srgb"]  # fmt: skip
    # The browser reads from descriptor 3 and writes to 4; a shell puts them there.
    shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    browser = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        browser.terminate()
        try:
            browser.wait(20)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
        os.close(ours_out)
        os.close(ours_in)


def _high(descriptor: int) -> int:
    """The same under a number that is neither 3 nor 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
