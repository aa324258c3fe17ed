"""The sentences of the captioned scenes: a small grammar with several wordings, and what a sentence says.

A caption tells only what is true of its scene, and all of them together use about eighty words.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_weather import SEAS, SKIES
from stablediff_edu.datasets.scene_words import truth
from stablediff_edu.datasets.scenes import KINDS, Scene
from stablediff_edu.errors import CourseError
from stablediff_edu.tokenizers.words import split_words

# what is true -> the ways to say it; the first is the plain one
WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "sky": {
        "clear": (SKIES["clear"].words, "on a sunny day"),
        "cloudy": (SKIES["cloudy"].words, "on a cloudy day"),
        "dawn": (SKIES["dawn"].words, "in the early morning"),
        "sunset": (SKIES["sunset"].words, "in the evening"),
        "night": (SKIES["night"].words, "in the dark"),
        "storm": (SKIES["storm"].words, "in bad weather"),
    },
    "water": {
        "calm": (SEAS["calm"].words, "a calm sea"),
        "waves": (SEAS["waves"].words, "a sea with waves"),
        "rough": (SEAS["rough"].words, "high waves"),
        "under": ("under water", "under the surface"),
    },
    "place": {"left": ("on the left",), "middle": ("in the middle",), "right": ("on the right",)},
    "size": {"small": ("small", "little"), "large": ("large", "big")},
    "colour": {colour: (colour,) for colour in COLOURS},
    "thing": {thing: (thing,) for thing in KINDS}
    | {
        "sailing boat": ("sailing boat", "sailboat"),
        "cargo ship": ("cargo ship", "container ship"),
        "motor boat": ("motor boat", "speedboat"),
        "balloon": ("balloon", "hot air balloon"),
    },
}
PARTS = {kind.part for kind in KINDS.values()}
_GLUE = "a an the of with on over sea picture"

_every_phrase = [phrase for names in WORDINGS.values() for phrases in names.values() for phrase in phrases]
VOCABULARY = tuple(sorted({word for text in [*_every_phrase, *PARTS, _GLUE] for word in text.split()}))

Say = Callable[[Sequence[str]], str]  # chooses one of several wordings


def full_caption(scene: Scene) -> str:
    """Tell everything that has words, in the plain wording: one sentence."""
    sentence = _compose(truth(scene), lambda wordings: wordings[0])
    return f"{sentence[0].upper()}{sentence[1:]}."


def short_caption(thing: str | None = None, colour: str | None = None, sky: str | None = None) -> str:
    """Name a thing with its colour and sky, as far as they are given: "a red duck at night", "the sea at night"."""
    return _compose(dict(thing=thing, colour=colour, sky=sky), lambda wordings: wordings[0])


def tell(scene: Scene, random: np.random.Generator) -> str:
    """Tell a scene in one of many ways, all true: `random` decides what is said and how.

    In three of ten cases all is told, else little: mostly the colour, each of the other things now and then.
    """
    known = truth(scene)
    if random.random() < 0.7:
        chances = dict(colour=0.9, size=0.25, carries=0.3, place=0.25, water=0.25, sky=0.4)
        known |= {field: None for field, chance in chances.items() if random.random() > chance}
        if known["sky"] and random.random() < 0.2:
            known["thing"] = None
    say: Say = lambda wordings: wordings[int(random.random() * len(wordings) * 0.999)]  # noqa: E731
    return _compose(known, say, sky_first=random.random() < 0.2, picture=random.random() < 0.15)


def _compose(known: dict[str, str | None], say: Say, sky_first: bool = False, picture: bool = False) -> str:
    """Put together a sentence that tells what is `known`; without a thing it tells of the sea alone."""

    def words(field: str) -> str:
        return say(WORDINGS[field][known[field]]) if known.get(field) else ""

    sky, thing = words("sky"), known.get("thing")
    if thing is None:
        return _join("the sea", sky)
    sentence = _with_article(_join(words("size"), words("colour"), words("thing")))
    if known.get("carries"):
        part = f"{known['carries']} {KINDS[thing].part}"
        sentence += f" with {part if part.endswith('s') else _with_article(part)}"
    place, water = words("place"), words("water")
    if water and known["water"] != "under":
        water = f"{'over' if KINDS[thing].lift else 'on'} {water}"
    sentence = _join(sentence, f"{place}," if place and water else place, water)
    if sky and sky_first:
        return f"{sky}, {sentence}"
    return _join("a picture of" if picture else "", sentence, sky)


def told(sentence: str) -> dict[str, str]:
    """Return what a sentence says, with the names that :func:`truth` uses; nothing more.

    Raises:
        CourseError: it uses a word that no caption uses.
    """
    words = split_words(sentence)
    for word in words:
        if word not in VOCABULARY:
            raise CourseError(f"No caption uses the word {word!r}; say it with: {', '.join(VOCABULARY)}.")
    rest, found = f" {' '.join(words)} ", {}
    carries = re.search(rf" with (?:a |an )?({'|'.join(COLOURS)}) (?:{'|'.join(PARTS)}) ", rest)
    if carries:
        found["carries"], rest = carries[1], rest.replace(carries[0], " ")
    for field, names in WORDINGS.items():  # the sky first: it may be blue, too
        phrases = [(phrase, name) for name, wordings in names.items() for phrase in wordings]
        for phrase, name in sorted(phrases, key=lambda pair: -len(pair[0])):  # "high waves" before "waves"
            if f" {phrase} " in rest:
                found[field], rest = name, rest.replace(f" {phrase} ", " ", 1)
                break
    return found


def fits(sentence: str, scene: Scene) -> bool:
    """Return whether all that a sentence says is true of a scene."""
    known = truth(scene)
    return all(known[field] == name for field, name in told(sentence).items())


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
