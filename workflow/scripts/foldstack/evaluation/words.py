"""How every text for the terminal writes a score or a difference with its interval."""


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """Shares times 100: `98.32 [97.10, 99.10]`; `+` as sign for differences."""
    return "{:{sign}.2f} [{:{sign}.2f}, {:{sign}.2f}]".format(100 * value, 100 * low, 100 * high, sign=sign)


def change(found: dict) -> str:
    """`difference`, `low` and `high` of shares, in points: `+0.12 [-0.30, +0.54]`."""
    return interval(found["difference"], found["low"], found["high"], "+")
