"""Versions of the packages that a result comes from, read without importing them."""

import contextlib
import importlib.metadata
import platform

RECORDED_PACKAGES = (
    "snakemake",
    "numpy",
    "pandas",
    "scikit-learn",
    "lightgbm",
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result, without importing them."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


DECISIVE_PACKAGES = ("torch", "torchvision", "timm", "numpy")
