"""The stylesheet keeps every lettering readable, by light and by dark, and label colours apart for colour-blind readers too."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import pytest

from fintune.report.html import COLOURS
from fintune.report.tables import SHADES

CSS = resources.files("fintune.report").joinpath("page.css").read_text(encoding="utf-8")
Colour = tuple[float, float, float]


def scheme(block: str) -> dict[str, Colour]:
    found = re.findall(r"--([\w-]+): #([0-9a-f]{3}|[0-9a-f]{6});", block)
    return {name: parse(code if len(code) == 6 else "".join(2 * c for c in code)) for name, code in found}


def parse(code: str) -> Colour:
    return tuple(int(code[at : at + 2], 16) / 255 for at in (0, 2, 4))


LIGHT, DARK = (scheme(block) for block in re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL))
SCHEMES = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


def linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def contrast(first: Colour, second: Colour) -> float:
    """WCAG 2 contrast ratio, 1 to 21."""
    dim, bright = sorted(0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) for red, green, blue in (first, second))
    return (bright + 0.05) / (dim + 0.05)


def mix(first: Colour, share: float, second: Colour) -> Colour:
    return tuple(share * a + (1 - share) * b for a, b in zip(first, second, strict=True))


@SCHEMES
def test_lettering_stands_out_from_its_ground(colours):
    for name in ("ink", "soft", "accent", "wrong"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["soft"], colours["wash"]) >= 4.5
    # A label's tag is paper-coloured lettering on its colour, a marked error ink on a tint, a matrix cell ink on a shade.
    for name in (f"k{number}" for number in range(COLOURS)):
        assert contrast(colours["paper"], mix(colours[name], 0.82, colours["ink"])) >= 4.5, name
        assert contrast(colours["ink"], mix(colours[name], 0.20, colours["paper"])) >= 4.5, name
        assert contrast(colours[name], colours["paper"]) >= 3, name
    assert contrast(colours["ink"], mix(colours["learnt"], 0.20, colours["paper"])) >= 4.5
    for name in ("floor", "before", "learnt"):
        assert contrast(colours[name], colours["paper"]) >= 3, name
    for heat in ("accent", "wrong"):
        assert contrast(colours["ink"], mix(colours[heat], 0.49, colours["wash"])) >= 4.5


# Machado, Oliveira and Fernandes (2009), full dichromacy, on linear parts.
PROTAN = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTAN = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
NORMAL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def seen(colour: Colour, eye: tuple[Colour, Colour, Colour]) -> Colour:
    """The colour in OKLab as that eye has it (Ottosson 2020)."""
    red, green, blue = (max(0.0, sum(w * linear(c) for w, c in zip(row, colour, strict=True))) for row in eye)
    rows = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    long, middle, short = ((a * red + b * green + c * blue) ** (1 / 3) for a, b, c in rows)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@SCHEMES
@pytest.mark.parametrize("eye", [NORMAL, PROTAN, DEUTAN], ids=["normal", "protan", "deutan"])
def test_label_colours_differ(colours, eye):
    for first, second in itertools.combinations([f"k{number}" for number in range(COLOURS)], 2):
        places = zip(seen(colours[first], eye), seen(colours[second], eye), strict=True)
        assert sum((a - b) ** 2 for a, b in places) ** 0.5 >= 0.04, (first, second)


def test_both_schemes_name_the_same_colours_and_every_class_exists():
    assert set(LIGHT) == set(DARK)
    assert all(re.search(rf"\.c{number} \{{ --c: var\(--k{number}\); \}}", CSS) for number in range(COLOURS))
    assert all(re.search(rf"\.h{shade} \{{ --much: \d+%;", CSS) for shade in range(SHADES + 1))
