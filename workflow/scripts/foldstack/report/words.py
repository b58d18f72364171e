"""Words and numbers that all pages, figures and texts write in the same way."""

PARTS = {"oof": "Out of fold", "test": "Test split"}  # what is scored


def format_count(count: float | None) -> str:
    """A count with three digits and a letter: 11173962 -> '11.2M'; '-' for None."""
    if count is None:
        return "-"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            scaled = count / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{letter}"
    return f"{count:.0f}"
