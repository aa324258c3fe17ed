"""The sentences of the captioned scenes: a small grammar with several wordings, and what a sentence says.

A caption tells only what is true of its scene, and all of them together use about eighty words.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.conditions import SEAS, SKIES
from stablediff_edu.data.scenes.labels import labels_of
from stablediff_edu.data.scenes.scene import OBJECTS, Scene
from stablediff_edu.errors import UserError
from stablediff_edu.tokenizers.words import split_words

# what is true -> the ways to say it; the first is the plain one
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
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
    "color": {color: (color,) for color in COLORS},
    "object_class": {name: (name,) for name in OBJECTS}
    | {
        "sailing boat": ("sailing boat", "sailboat"),
        "cargo ship": ("cargo ship", "container ship"),
        "motor boat": ("motor boat", "speedboat"),
        "balloon": ("balloon", "hot air balloon"),
    },
}
ACCESSORIES = {kind.part for kind in OBJECTS.values()}
FUNCTION_WORDS = "a an the of with on over sea picture"

_every_phrase = [phrase for names in SYNONYMS.values() for phrases in names.values() for phrase in phrases]
VOCABULARY = tuple(sorted({word for text in [*_every_phrase, *ACCESSORIES, FUNCTION_WORDS] for word in text.split()}))

Say = Callable[[Sequence[str]], str]  # chooses one of several wordings


def full_caption_of(scene: Scene) -> str:
    """Tell everything that has words, in the plain wording: one sentence."""
    sentence = _compose(labels_of(scene), lambda wordings: wordings[0])
    return f"{sentence[0].upper()}{sentence[1:]}."


def template_caption(object_class: str | None = None, color: str | None = None, sky: str | None = None) -> str:
    """Name an object with its color and sky, as far as they are given: "a red duck at night", "the sea at night"."""
    return _compose(dict(object_class=object_class, color=color, sky=sky), lambda wordings: wordings[0])


def random_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Tell a scene in one of many ways, all true: `rng` decides what is said and how.

    In three of ten cases the caption says all, else little: mostly the color, each of the other classes now and then.
    """
    known = labels_of(scene)
    if rng.random() < 0.7:
        chances = dict(color=0.9, size=0.25, accent_color=0.3, place=0.25, water=0.25, sky=0.4)
        known |= {field: None for field, chance in chances.items() if rng.random() > chance}
        if known["sky"] and rng.random() < 0.2:
            known["object_class"] = None
    say: Say = lambda wordings: wordings[int(rng.random() * len(wordings) * 0.999)]  # noqa: E731
    return _compose(known, say, sky_first=rng.random() < 0.2, image=rng.random() < 0.15)


def _compose(known: dict[str, str | None], say: Say, sky_first: bool = False, image: bool = False) -> str:
    """Put together a sentence that tells what is `known`; without an object it tells of the sea alone."""

    def words(field: str) -> str:
        name = known.get(field)
        return say(SYNONYMS[field][name]) if name else ""

    sky, object_class = words("sky"), known.get("object_class")
    if object_class is None:
        return _join("the sea", sky)
    sentence = _with_article(_join(words("size"), words("color"), words("object_class")))
    if known.get("accent_color"):
        part = f"{known['accent_color']} {OBJECTS[object_class].part}"
        sentence += f" with {part if part.endswith('s') else _with_article(part)}"
    place, water = words("place"), words("water")
    if water and known["water"] != "under":
        water = f"{'over' if OBJECTS[object_class].lift else 'on'} {water}"
    sentence = _join(sentence, f"{place}," if place and water else place, water)
    if sky and sky_first:
        return f"{sky}, {sentence}"
    return _join("a picture of" if image else "", sentence, sky)


def parse_caption(sentence: str) -> dict[str, str]:
    """Return what a sentence says, with the names that :func:`labels_of` uses; nothing more.

    Raises:
        UserError: it uses a word that no caption uses.
    """
    words = split_words(sentence)
    for word in words:
        if word not in VOCABULARY:
            raise UserError(f"No caption uses the word {word!r}; say it with: {', '.join(VOCABULARY)}.")
    rest, found = f" {' '.join(words)} ", {}
    accent_color = re.search(rf" with (?:a |an )?({'|'.join(COLORS)}) (?:{'|'.join(ACCESSORIES)}) ", rest)
    if accent_color:
        found["accent_color"], rest = accent_color[1], rest.replace(accent_color[0], " ")
    for field, names in SYNONYMS.items():  # the sky first: it may be blue, too
        phrases = [(phrase, name) for name, wordings in names.items() for phrase in wordings]
        for phrase, name in sorted(phrases, key=lambda pair: -len(pair[0])):  # "high waves" before "waves"
            if f" {phrase} " in rest:
                found[field], rest = name, rest.replace(f" {phrase} ", " ", 1)
                break
    return found


def caption_matches(sentence: str, scene: Scene) -> bool:
    """Return whether all that a sentence says is true of a scene."""
    known = labels_of(scene)
    return all(known[field] == name for field, name in parse_caption(sentence).items())


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
