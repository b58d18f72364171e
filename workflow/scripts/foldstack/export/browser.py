"""An exported file as one HTML page that needs nothing else: it contains onnxruntime-web and the file itself.

The page runs from a disk (file://) and sends nothing: its Content-Security-Policy forbids every connection. The runtime
comes from npm, by the lock file beside the page's template, whose hashes npm checks.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import write_text

TEMPLATES = Path(__file__).resolve().parents[3] / "browser"
LOCKED = ("package.json", "package-lock.json")
PACKAGE = Path("node_modules") / "onnxruntime-web"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
NPM_SECONDS = 600


def digest() -> str:
    """Digest of the files that are not Python, whose changes Snakemake would not notice otherwise."""
    text = b"".join((TEMPLATES / name).read_bytes() for name in ("predict.html", *LOCKED))
    return hashlib.sha256(text).hexdigest()[:12]


def install(folder) -> Path:
    """Fetch the runtime with `npm ci` into `folder` unless it is there; returns `folder`.

    Raises:
        FoldstackError: there is no npm, or it failed.
    """
    folder, locked = Path(folder), (TEMPLATES / "package-lock.json").read_bytes()
    stamp = folder / "installed.json"
    if stamp.exists() and stamp.read_bytes() == locked:
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise FoldstackError(
            "The browser page needs npm, which fetches onnxruntime-web, and there is none here; install Node.js "
            "(18 or newer) and run the same command again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        for name in LOCKED:
            shutil.copyfile(TEMPLATES / name, Path(work) / name)
        # No install scripts of packages run: only two files are needed.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command,
            cwd=work,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            print(done.stdout, done.stderr, sep="\n")
            reason = next((line for line in done.stderr.splitlines() if " code " not in line and line.strip()), "?")
            raise FoldstackError(
                f"npm could not fetch onnxruntime-web ({reason.strip()}); make it work and run the same command again."
            )
        for name in (SCRIPT, WASM):
            shutil.move(Path(work) / PACKAGE / "dist" / name, folder / name)
    stamp.write_bytes(locked)
    return folder


def write_page(onnx_path, runtime, path) -> None:
    """Write the page of an exported file; equal input gives equal bytes.

    Args:
        runtime: folder with onnxruntime-web's files, see `install`.
    """
    import jinja2
    from markupsafe import Markup

    from foldstack.export.onnx_file import total_bytes
    from foldstack.export.session import open_session

    content = Path(onnx_path).read_bytes()
    if not content:
        raise FoldstackError(f"{onnx_path} is empty: this variant did not pass its gate; choose another.")
    _, metadata = open_session(onnx_path)
    if metadata.get("reading"):
        raise FoldstackError(
            f"A browser cannot read images as {onnx_path} needs them (data.bits, data.pages); use predict.py instead."
        )
    if "data" in metadata:
        raise FoldstackError(
            f"{onnx_path} is larger than a web page can hold ({total_bytes(onnx_path) / 1e9:.1f} GB); use predict.py, "
            "or the page of a smaller variant."
        )
    described = {key: metadata[key] for key in ("task", "channels", "classes", "golden")}
    files = {"runtime": Path(runtime) / SCRIPT, "wasm": Path(runtime) / WASM}
    parts = {name: _packed(file.read_bytes()) for name, file in files.items()} | {"model": _packed(content)}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((TEMPLATES / "predict.html").read_text(encoding="utf-8"))
    values = {"title": _title(metadata), "about": _about(metadata)}
    # Inside a script element nothing is unescaped, and "<" could end it.
    values["described"] = Markup(json.dumps(described, sort_keys=True).replace("<", "\\u003c"))
    write_text(path, template.render(parts={name: Markup(text) for name, text in parts.items()}, **values) + "\n")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _title(metadata: dict) -> str:
    names = metadata["classes"]
    some = ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} … {names[-1]}"
    return f"{'Pairs of images' if metadata['task'] == 'pairs' else 'Images'}: {some}"


def _about(metadata: dict) -> str:
    kind = metadata.get("variant", {}).get("kind")
    text = f"An ensemble of {', '.join(metadata['models'])}{f' (variant {kind})' if kind else ''}"
    for part, where in (("test", "on the test split"), ("oof", "out of fold")):
        scores = metadata["scores"].get(part, {})
        if scores.get("accuracy") is not None:
            low, high = scores.get("accuracy_low"), scores.get("accuracy_high")
            reach = f" (95 %: {100 * low:.1f} to {100 * high:.1f})" if None not in (low, high) else ""
            return f"{text}, {100 * scores['accuracy']:.1f} % accurate {where}{reach}."
    return f"{text}."
