"""The style sheet: every text can be read on every ground that it may stand on, light and dark (WCAG 2.2, 1.4.3)."""

import itertools
import re
from importlib.resources import files

import pytest

SHEET = (files("proxy.observe.admin.pages") / "static" / "style.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
SCHEMES = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\w*;", block)) for block in BLOCKS]

TEXTS = ("text", "quiet", "link", "good", "warn", "bad", "odd")
GROUNDS = ("ground", "card", "sunken")
TINTED = [(name, f"{name}-ground") for name in ("good", "warn", "bad", "odd")] + [
    ("text", f"{name}-ground") for name in ("good", "warn", "bad")
]
MARKS = ("first", "second", "good", "warn", "bad", "odd", "quiet")
"""Curves, bars and borders of fields: 3 to 1 is enough (1.4.11)."""

each_scheme = pytest.mark.parametrize("colours", SCHEMES, ids=["light", "dark"])


def brightness(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_reckoned_as_the_standard_does():
    assert contrast("#000000", "#ffffff") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


def test_there_is_a_light_and_a_dark_scheme_of_the_same_colours():
    light, dark = SCHEMES
    assert light.keys() == dark.keys()


@each_scheme
def test_every_text_can_be_read_on_every_ground(colours):
    pairs = [*itertools.product(TEXTS, GROUNDS), *TINTED]
    poor = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@each_scheme
def test_the_text_of_the_main_button_can_be_read(colours):
    assert contrast(colours["card"], colours["link"]) >= 4.5


@each_scheme
def test_every_curve_and_field_can_be_told_from_its_ground(colours):
    poor = {name: contrast(colours[name], colours["card"]) for name in MARKS}
    assert {name: ratio for name, ratio in poor.items() if ratio < 3} == {}


def test_colours_stand_in_the_two_schemes_only():
    rest = re.sub(r":root \{.*?\}", "", SHEET, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsl", rest) == []
