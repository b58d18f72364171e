"""One look for every figure, and files whose bytes depend on their data alone.

Colours: Okabe and Ito, "Color Universal Design" (2008), told apart under all common kinds of colour blindness.
SVG text stays text: small files, searchable, and names in any script are drawn with the reader's own fonts. Layout is
measured with DejaVu Sans, which comes with matplotlib, so that equal tables give equal bytes on every machine.
"""

import contextlib
import logging
import unicodedata
import warnings

import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from foldstack.files import atomic

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, INK, MUTED, FAINT = "#56B4E9", "#CC79A7", "#1f2328", "#5f6770", "#dfe3e8"
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe3f1", "#56a3d0", BLUE, "#003a5c"])
ORANGES = LinearSegmentedColormap.from_list("oranges", ["#ffffff", "#fbe0cc", "#ee9a5e", VERMILLION, "#6b2f00"])
DIVERGING = LinearSegmentedColormap.from_list("diverging", [VERMILLION, "#f6c3a0", "#ffffff", "#9cc9e4", BLUE])

PIXELS_PER_INCH = 96  # CSS pixels, so that sizes below are what the report shows
MAX_HEIGHT = 760  # Snakemake's report centres a figure and cuts off the top of one that is taller than the window
SMALL, NORMAL, LARGE = 8, 9, 11  # points
PNG_FONTS = ["DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS"]
SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": SMALL,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#b3bac2",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": "#b3bac2",
    "ytick.color": "#b3bac2",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "svg.fonttype": "none",
    "svg.hashsalt": "foldstack",
    "path.simplify": False,
}


@contextlib.contextmanager
def drawing(path, title: str, width: int, height: int):
    """Yield an empty Figure of `width` x `height` CSS pixels; write it to `path` (.svg or .png) at the end."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()  # the user's own matplotlibrc must not change a result
        matplotlib.rcParams.update(SETTINGS)  # type: ignore[arg-type]  # its stubs want the names of settings as literals
        svg = str(path).endswith(".svg")
        if not svg:
            matplotlib.rcParams["font.family"] = PNG_FONTS
        figure = Figure((width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), PIXELS_PER_INCH, layout="constrained")
        figure.suptitle(title, x=12 / width, ha="left", fontsize=LARGE, fontweight="bold")
        yield figure
        with atomic(path) as temporary:
            metadata = {"Creator": "Foldstack", "Date": None} if svg else {"Software": "Foldstack"}
            figure.savefig(temporary, metadata={**metadata, "Title": title})


def short(text: str, length: int = 24) -> str:
    """The text on one line, at most `length` characters, control characters left out."""
    clean = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(text)).split())
    return clean if len(clean) <= length else clean[: length - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """12 s, 3.5 min, 2.1 h, 4.0 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
