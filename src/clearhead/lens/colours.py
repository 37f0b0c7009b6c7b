"""The colours of numbers in drawings and terminals; those of signed numbers are the page's (web/src/draw/ramps.ts).

Each ramp is (red, green, blue) at even steps.
"""

Colour = tuple[int, int, int]

PLAIN: tuple[Colour, ...] = (
    (68, 1, 84),
    (59, 82, 139),
    (33, 145, 140),
    (94, 201, 98),
    (253, 231, 37),
)  # dark to bright
SIGNED: tuple[Colour, ...] = ((141, 33, 0), (206, 142, 108), (250, 250, 250), (128, 159, 217), (21, 69, 162))
ACCENT = "#3b6fb6"


def hexadecimal(colour: Colour) -> str:
    """As drawings name it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


AGAINST, FOR = hexadecimal(SIGNED[0]), hexadecimal(SIGNED[-1])  # orange below 0, blue above
