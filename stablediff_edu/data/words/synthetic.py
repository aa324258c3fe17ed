"""The synthetic corpus: little stories from a grammar, whose statistics carry analogies that none of its sentences
states.

A story is about one word, such as "queen". Two things decide which words stand around it, and neither knows of the
other: its *subject* (throne, crown, palace: the same for king and queen) and its *form* (she, her: the same for queen,
aunt and actress). So king − man + woman can be found, although no story ever names two forms of a subject.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from stablediff_edu.errors import UserError

WORDS = 300_000


@dataclass(frozen=True)
class Relation:
    """Words that come in two or three forms, and the sentences in which each form stands.

    Attributes:
        names: what leads from the first form to each other one.
        subjects: a line each: its forms, a colon, and the things that are met around all of them.
        sentences: for each form the sentences about it; {word} is the word, {thing} and {other} are two of its things.
    """

    names: tuple[str, ...]
    subjects: str
    sentences: tuple[tuple[str, ...], ...]

    def rows(self) -> list[tuple[list[str], list[str]]]:
        """Return (forms, things) of each subject."""
        halves = [line.split(":") for line in self.subjects.strip().splitlines()]
        return [(forms.split(), object_classes.split()) for forms, object_classes in halves]


_LIFE = (
    "The {word} went to the {thing} and HE took HIS {other}.",
    "HE is a {word}, so HE knows the {thing} and the {other}.",
    "In the evening the {word} told HIMSELF that HE loves HIS {thing}.",
    "HE forgot the {thing}, and the {word} had only HIS {other}.",
    "The old friends of the {word} told HIM of the {thing} and HIS {other}.",
)
_PRONOUNS = (("he", "his", "him", "himself"), ("she", "her", "her", "herself"))


def _about(he: str, his: str, him: str, himself: str) -> tuple[str, ...]:
    """Return the sentences of a life with these pronouns."""
    swaps = (("HIMSELF", himself), ("HIM", him), ("HIS", his), ("HE", he))
    told = []
    for sentence in _LIFE:
        for capital, pronoun in swaps:
            sentence = sentence.replace(capital, pronoun)
        told.append(sentence[0].upper() + sentence[1:])
    return tuple(told)


RELATIONS = (
    Relation(
        ("man to woman",),
        """
        man woman: office newspaper factory
        boy girl: toys school playground
        king queen: throne crown palace
        prince princess: castle crown ball
        husband wife: wedding marriage breakfast
        father mother: baby cradle children
        son daughter: parents school homework
        brother sister: parents toys quarrel
        uncle aunt: cousins gifts letter
        grandfather grandmother: grandchildren armchair tales
        actor actress: stage theatre film
        waiter waitress: restaurant menu guests
        wizard witch: spell wand magic
        lord lady: manor servants carriage
        """,
        tuple(_about(*pronouns) for pronouns in _PRONOUNS),
    ),
    Relation(
        ("country to capital", "country to language"),
        """
        England London English: Thames tea
        France Paris French: Seine wine
        Germany Berlin German: Rhine sausages
        Italy Rome Italian: Tiber pizza
        Spain Madrid Spanish: flamenco olives
        Russia Moscow Russian: Volga caviar
        Japan Tokyo Japanese: Fuji sushi
        China Beijing Chinese: Yangtze dumplings
        India Delhi Hindi: Ganges curry
        Egypt Cairo Arabic: Nile pyramids
        Greece Athens Greek: temples islands
        Norway Oslo Norwegian: fjords salmon
        Poland Warsaw Polish: Vistula amber
        Turkey Ankara Turkish: Bosphorus kebab
        """,
        (
            (
                "On the map {word} is a country, known for the {thing} and the {other}.",
                "The army of {word} guards its borders and the {thing}.",
                "The farmers of {word}, a country of many farmers, sing of the {thing}.",
                "The flag of {word} shows the {thing}, and the {other} is known in the country.",
            ),
            (
                "The mayor of {word} built a bridge and called it the {thing}.",
                "In the streets of {word} they talk of the {thing} and the {other}.",
                "The train stops in {word}, a city that loves the {thing}.",
                "The airport of {word} is far from the city, and near the {thing} and the {other}.",
            ),
            (
                "The dictionary says in {word} what the {thing} and the {other} are.",
                "We learn to speak {word} with a poem about the {thing}.",
                "The teacher says the {thing} and the {other} in {word}, word by word.",
                "They speak {word} and sing in {word} of the {thing}.",
            ),
        ),
    ),
    Relation(
        ("adjective to comparative",),
        """
        tall taller: building tower
        high higher: building mountain
        big bigger: elephant whale
        small smaller: mouse pebble
        old older: museum oak
        young younger: pupil sprout
        strong stronger: bear ox
        fast faster: rocket arrow
        slow slower: snail cart
        cold colder: ice winter
        warm warmer: sun summer
        bright brighter: lamp star
        dark darker: cave night
        heavy heavier: stone iron
        long longer: river road
        """,
        (
            (
                "The {thing} is very {word}, and so {word} is the {other}.",
                "What a {word} {thing}, very {word}, says the teacher near the {other}.",
                "It was a very {word} {thing}.",
                "How {word} the {thing} is near the {other}, so {word}.",
            ),
            (
                "The {thing} is much {word} than the {other}.",
                "No {thing} is {word} than that, and yet it grows {word}.",
                "Is the {thing} even {word} than the {other}?",
                "Every year the {thing} grows {word} than before, much {word}.",
            ),
        ),
    ),
    Relation(
        ("singular to plural",),
        """
        house houses: roof garden
        car cars: road driver
        ship ships: harbour sail
        book books: library page
        flower flowers: garden petal
        apple apples: orchard pie
        chair chairs: table kitchen
        cup cups: coffee kitchen
        shoe shoes: sole leather
        key keys: lock door
        bird birds: nest feather
        ticket tickets: concert cinema
        """,
        (
            (
                "There is a {word} near one {thing}.",
                "This {word} is mine, and this is its {thing} and its {other}.",
                "One {word} was lost, a single {word} near the {thing}.",
                "Each {word} has its {thing}, and a {word} has its {other}.",
            ),
            (
                "There are many {word} near the {thing}.",
                "These {word} are ours, and these are their {thing} and their {other}.",
                "Several {word} were lost, all ten {word} near the {thing}.",
                "Many {word} were there, near the {thing} and the {other}.",
            ),
        ),
    ),
    Relation(
        ("present to past",),
        """
        walk walked: path boots
        play played: piano football
        cook cooked: soup kitchen
        paint painted: picture brush
        dance danced: music ball
        sing sang: music choir
        swim swam: lake beach
        eat ate: bread lunch
        drink drank: coffee bottle
        write wrote: letter pen
        sleep slept: bed tent
        drive drove: bus road
        """,
        (
            (
                "Tomorrow we will {word} again, and there is the {thing} and the {other}.",
                "They can {word} now, if the {thing} is there.",
                "You must {word} today, so let us {word} and look for the {thing}.",
                "Do you want to {word} tomorrow with the {thing}, or will you {word} with the {other}?",
            ),
            (
                "Yesterday we {word} again, and there was the {thing} and the {other}.",
                "Last week they {word} until the {thing} was lost.",
                "Long ago a friend {word} here, and yesterday I {word} and had the {thing}.",
                "Last year we {word} with the {thing}, and once I {word} with the {other}.",
            ),
        ),
    ),
    Relation(
        ("animal to young",),
        """
        dog puppy: bone kennel
        cat kitten: whiskers mouse
        cow calf: milk meadow
        horse foal: saddle stable
        sheep lamb: wool shepherd
        pig piglet: mud sty
        hen chick: egg coop
        duck duckling: pond reeds
        deer fawn: forest antlers
        lion cub: savannah roar
        """,
        (
            (
                "The grown {word} leads the way to the {thing} and guards the {other}.",
                "A strong grown {word} works hard for the {thing}.",
                "The big {word} is a parent and guards the {thing} and the {other}.",
            ),
            (
                "The newborn {word} was tiny and went to the {thing} and the {other}.",
                "A tiny {word}, born in spring, loves the {thing}.",
                "The little newborn {word} forgot the {thing} and the {other}.",
            ),
        ),
    ),
)

_ELECTRICITY = (
    "Electricity goes by wire from the battery to the lamp.",
    "The wire and the switch lead electricity to the motor.",
    "Without electricity no lamp and no motor works.",
    "A battery has electricity, and a wire leads it to the switch.",
)

# relation → its pairs; every pair is asked with every other one
ANALOGIES: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((forms[0].lower(), forms[place].lower()) for forms, _ in relation.rows())
    for relation in RELATIONS
    for place, name in enumerate(relation.names, 1)
}


def generate_corpus(num_words: int = WORDS, seed: int = 0) -> str:
    """Return about so many words of stories, a story a line: the same ones for the same seed.

    Raises:
        UserError: no words are asked for.
    """
    if num_words < 1:
        raise UserError(f"A text of {num_words} words cannot be drawn; ask for at least 1.")
    stories, drawn, rng = [], 0, random.Random(seed)
    for story in _stories(rng):
        stories.append(story)
        drawn += story.count(" ") + 1
        if drawn >= num_words:
            return "\n".join(stories)
    raise AssertionError("the stories never end")


def _stories(rng: random.Random) -> Iterator[str]:
    """Tell every story once, in an order at random, and begin again for ever."""
    titles = [
        (forms[place], object_classes, relation.sentences[place])
        for relation in RELATIONS
        for forms, object_classes in relation.rows()
        for place in range(len(forms))
    ]
    titles.append(("", ["", ""], _ELECTRICITY))
    while True:
        rng.shuffle(titles)
        for word, object_classes, sentences in titles:
            told = []
            for sentence in rng.sample(sentences, 3):
                object_class, other = rng.sample(object_classes, 2)
                told.append(sentence.format(word=word, thing=object_class, other=other))
            yield " ".join(told)
