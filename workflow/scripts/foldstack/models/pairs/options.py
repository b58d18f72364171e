"""Options of pair_net that exclude each other. Runs at Snakemake's parse time: standard library only."""

SYMMETRIC = ("product", "cosine", "l2")  # fusions that do not know left from right
OF_OWN_TOWERS = ("layers", "block", "width", "attention")


def options_problem(options: dict) -> str | None:
    """The first of them as a sentence; None where there is none. `options` are those that were given, by name."""
    tower, fusion = options.get("tower", "resnet"), options.get("fusion", "adaptive")
    inner = options.get("tower_options") or {}
    if options.get("antisymmetric") and fusion in SYMMETRIC:
        return f"the fusion {fusion!r} does not know left from right, so it cannot be antisymmetric"
    if "levels" in options and fusion != "levels":
        return f"levels is for fusion: levels, not {fusion!r}; drop it"
    if options.get("levels", 2) < 2:
        return "levels must be 2 or more, since they are compared"
    if tower == "cnn" and "block" in options:
        return "the tower 'cnn' has no option 'block'"
    if tower in ("cnn", "resnet"):
        return f"tower_options are for towers of timm, and {tower!r} is not one" if inner else None
    for key in OF_OWN_TOWERS:
        if key in options:
            return f"the tower {tower!r} of timm has no option {key!r}; see its tower_options"
    return None
