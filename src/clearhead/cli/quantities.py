"""Numbers as people read them."""


def size(n: int) -> str:
    """Bytes, in powers of ten, as downloads and disks are sold."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= unit:
            return f"{n / unit:,.1f} {name}" if n < 100 * unit else f"{n / unit:,.0f} {name}"
    return f"{n} bytes"


def short(n: int) -> str:
    """A count of parameters: 134.5M."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= unit:
            return f"{n / unit:.1f}{name}"
    return str(n)


def plural(n: int, word: str) -> str:
    """A count with its noun."""
    if n == 1:
        return f"{n:,} {word}"
    ends_in_y = word[-1:] == "y" and word[-2:-1] not in "aeiou"
    return f"{n:,} {word[:-1]}ies" if ends_in_y else f"{n:,} {word}s"


def duration(seconds: float) -> str:
    """How long something takes, in the two largest units that matter: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    minutes, hours = divmod(whole, 60)[0], whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
