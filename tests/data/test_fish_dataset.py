"""Fish with masks: which are taken, from where, which are copies of one original, and the cache."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from stablediff_edu.data.fish import dataset as fish_dataset
from stablediff_edu.data.fish.dataset import describe_fish_data, index_dataset, load_fish
from stablediff_edu.data.fish.near_duplicates import THRESHOLD, cluster_duplicates, rotation_invariant_descriptor
from stablediff_edu.data.fish.synthetic import render_fish
from stablediff_edu.errors import UserError

NINE = [
    *("Black Sea Sprat", "Gilt-Head Bream", "Hourse Mackerel", "Red Mullet", "Red Sea Bream"),
    *("Sea Bass", "Shrimp", "Striped Red Mullet", "Trout"),
]
FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


def turned_copies(image, rng, number=6):
    """The image itself, and copies flipped and turned about the center; corners without image become black."""
    copies = [image]
    for index in range(number):
        copy = ImageOps.mirror(image) if index % 2 else image
        copy = ImageOps.flip(copy) if index % 3 == 0 else copy
        copies.append(copy.rotate(rng.uniform(0, 360), FILTERS[index % 3]))
    return copies


def drawn(seed, size=128):
    colors = (render_fish(seed, size=size).image.permute(1, 2, 0) + 1) * 127.5  # (3, S, S) -> (S, S, 3)
    return Image.fromarray(colors.byte().numpy())


def write_set(folder, species=("Trout", "Sea Bass"), each=4, picture=None):
    """Write a small set laid out as Kaggle's; without ``image`` the images are blurred noise."""
    rng = np.random.default_rng(0)
    for kind in species:
        for number in range(1, each + 1):
            noise = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 60))
            inner = folder / "Fish_Dataset" / "Fish_Dataset" / kind
            for name, image in ((kind, picture or noise), (f"{kind} GT", Image.new("L", (80, 60), 255))):
                (inner / name).mkdir(parents=True, exist_ok=True)
                image.save(inner / name / f"{number:05}.png")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Where the photographs belong: an empty folder."""
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path))
    folder = tmp_path / "fish"
    folder.mkdir()
    return folder


# --- the nine real photographs -------------------------------------------------------------------------------------


def test_the_nine_real_photographs(real_data, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    nine = load_fish(9, source="kaggle")
    if len(nine) > 9 or sorted(nine.names) != [f"{name} 00001" for name in NINE]:
        pytest.skip("STABLEDIFF_DATA holds other photographs than the nine")
    assert nine.images.shape == (9, 3, 128, 128) and nine.masks.shape == (9, 1, 128, 128)
    assert nine.groups.tolist() == list(range(9)) and nine.source == "Kaggle fish"
    assert set(nine.masks.unique().tolist()) == {0.0, 1.0}
    assert ((nine.masks.mean((1, 2, 3)) > 0.08) & (nine.masks.mean((1, 2, 3)) < 0.35)).all()
    for image, mask in zip(nine.images, nine.masks, strict=True):  # fish are redder than the blue board
        redness = image[0] - image[2]
        assert redness[mask[0] == 1].mean() > redness[mask[0] == 0].mean() + 0.2
    assert describe_fish_data(9).startswith("Kaggle fish, 9 photographs")
    assert "only 9 there" in describe_fish_data(500)
    assert not (real_data / "fish" / "cache").exists()  # shared, read-only data stay as they are


@pytest.fixture(scope="session")
def originals(real_data):
    files = [files[0][1] for files in index_dataset(real_data / "fish").values()]
    return [Image.open(file).convert("RGB") for file in files]


def margins(images):
    """Return the largest distance between copies of one image and the smallest between two images."""
    rng = np.random.default_rng(0)
    families = [[rotation_invariant_descriptor(copy) for copy in turned_copies(image, rng)] for image in images]

    def distances(pairs):
        return [np.abs(one - other).mean() for one, other in pairs]

    within = distances(pair for family in families for pair in itertools.combinations(family, 2))
    between = distances(
        pair for two in itertools.combinations(families, 2) for pair in itertools.product(two[0], two[1])
    )
    return max(within), min(between)


def test_copies_of_real_photographs_are_told_from_others_with_a_margin(originals):
    within, between = margins(originals)
    assert within < THRESHOLD / 3 and between > THRESHOLD * 2.5


def test_copies_of_drawn_fish_are_told_from_others_with_a_margin():
    within, between = margins([drawn(seed) for seed in range(12)])
    assert within < THRESHOLD / 2.5 and between > THRESHOLD * 2


def test_groups_are_the_originals(originals):
    rng = np.random.default_rng(1)
    images = [copy for original in originals for copy in turned_copies(original, rng)]
    truth = np.repeat(np.arange(len(originals)), 7)
    order = rng.permutation(len(images))
    signatures = np.stack([rotation_invariant_descriptor(images[index]) for index in order])
    groups = cluster_duplicates(signatures, ["fish"] * len(order))
    assert len(np.unique(groups)) == len(originals)
    assert len(set(zip(groups, truth[order], strict=True))) == len(originals)


def test_copies_are_grouped_along_chains_and_within_a_kind_only():
    step = THRESHOLD * 0.9
    signatures = np.array([[0.0], [2 * step], [step], [0.0], [9.0]])
    assert cluster_duplicates(signatures, ["a", "a", "a", "b", "a"]).tolist() == [0, 0, 0, 1, 2]


def test_no_copy_of_one_original_crosses_a_split(originals, here):
    rng = np.random.default_rng(2)
    inner = here / "Fish_Dataset" / "Trout"
    (inner / "Trout").mkdir(parents=True)
    (inner / "Trout GT").mkdir()
    for number, original in enumerate(originals):
        for turn, copy in enumerate(turned_copies(original, rng, number=3)):
            copy.save(inner / "Trout" / f"{turn}{number}.png", compress_level=1)
            Image.new("L", copy.size, 255).save(inner / "Trout GT" / f"{turn}{number}.png")
    train, held_out = load_fish(36, size=32, source="kaggle").split(0.3)
    sides = [{name[-1] for name in side.names} for side in (train, held_out)]
    assert not sides[0] & sides[1] and sides[0] | sides[1] == set("012345678")


# --- which are taken, and from where -------------------------------------------------------------------------------


def test_drawn_where_nothing_was_fetched(here):
    drawn_ones = load_fish(3, size=32)
    assert drawn_ones.source == "synthetic fish" and drawn_ones.groups.tolist() == [0, 1, 2]
    assert drawn_ones.images.shape == (3, 3, 32, 32) and drawn_ones.masks.shape == (3, 1, 32, 32)
    assert drawn_ones.images.dtype == drawn_ones.masks.dtype == torch.float32
    assert drawn_ones.images.equal(load_fish(3, size=32, source="synthetic").images)
    assert describe_fish_data() == "synthetic fish (built in) · real ones: python -m stablediff_edu fetch fish"
    with pytest.raises(UserError, match=r"no fish photographs in .* get them with: python -m"):
        load_fish(source="kaggle")


def test_auto_takes_photographs_if_there_are_enough(here):
    write_set(here)
    assert load_fish(8, size=16).source == "Kaggle fish"
    assert load_fish(9, size=16).source == "synthetic fish"
    assert len(load_fish(9, size=16, source="kaggle")) == 8


def test_species_take_turns_and_the_seed_chooses(here):
    write_set(here, species=("Trout", "Shrimp", "Sea Bass"), each=6)
    five = load_fish(5, size=16, source="kaggle")
    assert [name.rsplit(" ", 1)[0] for name in five.names] == ["Sea Bass", "Shrimp", "Trout", "Sea Bass", "Shrimp"]
    assert load_fish(5, size=16, source="kaggle").names == five.names
    assert load_fish(5, size=16, source="kaggle", seed=1).names != five.names
    write_set(here, species=("Red Mullet",), each=1)  # few of one species are made up for by the others
    assert sum(name.startswith("Red Mullet") for name in load_fish(19, size=16, source="kaggle").names) == 1
    for wrong in ({"source": "web"}, {"count": 0}):
        with pytest.raises(UserError):
            load_fish(**wrong)


@pytest.mark.parametrize(
    ("images", "masks"),
    [("Trout", "Trout GT"), ("trout", "Trout_GT"), ("Trout", "TroutGT"), ("Hourse Mackerel", "Horse Mackerel GT")],
)
def test_spellings_and_nesting_vary(here, images, masks):
    for name in (images, masks):
        (here / "x" / "y" / name).mkdir(parents=True)
        Image.new("L", (20, 15)).save(here / "x" / "y" / name / "1.png")
    (here / "NA_Fish_Dataset" / "Trout").mkdir(parents=True)
    Image.new("L", (20, 15)).save(here / "NA_Fish_Dataset" / "Trout" / "1.png")
    assert {kind: len(files) for kind, files in index_dataset(here).items()} == {images: 1}


def test_bad_photographs_get_one_sentence(here):
    write_set(here, each=2)
    image = next(here.rglob("Trout/00001.png"))
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is broken or not an image"):
        load_fish(4, size=16, source="kaggle")
    image.write_bytes(whole)
    Image.new("L", (9, 9)).save(next(here.rglob("Trout GT/00001.png")))
    with pytest.raises(UserError, match="a mask must have the size of its image"):
        load_fish(4, size=16, source="kaggle")
    next(here.rglob("Trout GT/00001.png")).unlink()
    for use in (load_fish, describe_fish_data):
        with pytest.raises(UserError, match=r"no mask for 00001.png"):
            use(4)


# --- the cache -----------------------------------------------------------------------------------------------------


def only_cache(here):
    (found,) = (here / "cache").iterdir()
    return found


def test_the_second_time_nothing_is_decoded(here, monkeypatch):
    write_set(here)
    first = load_fish(8, size=16, source="kaggle")
    assert only_cache(here).suffix == ".npz"
    monkeypatch.setattr(fish_dataset, "read_pair", None)
    second = load_fish(8, size=16, source="kaggle")
    assert second.images.equal(first.images) and second.masks.equal(first.masks)
    assert second.groups.equal(first.groups) and second.names == first.names
    monkeypatch.undo()
    monkeypatch.setenv("STABLEDIFF_DATA", str(here.parent))
    cache = only_cache(here)
    whole = cache.read_bytes()
    for damaged in (b"", whole[:999], whole[:1500] + bytes([whole[1500] ^ 1]) + whole[1501:]):
        cache.write_bytes(damaged)
        assert load_fish(8, size=16, source="kaggle").images.equal(first.images)
        assert len(only_cache(here).read_bytes()) == len(whole)


def test_another_size_seed_or_file_is_another_cache(here):
    write_set(here)
    load_fish(4, size=16, source="kaggle")
    before = load_fish(8, size=16, source="kaggle")
    load_fish(8, size=24, source="kaggle")
    load_fish(8, size=16, source="kaggle", seed=5)
    assert len(list((here / "cache").iterdir())) == 4
    image = next(here.rglob("Trout/00001.png"))
    Image.new("RGB", (80, 60), "red").save(image)
    assert not load_fish(8, size=16, source="kaggle").images.equal(before.images)
    shutil.rmtree(here / "cache")
    assert load_fish(8, size=16, source="kaggle").names == before.names


@pytest.mark.parametrize("place", ["mkdir", "open", "replace"])
def test_where_no_cache_can_be_written_all_works_without(here, monkeypatch, place):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    write_set(here)
    target = {
        "mkdir": (fish_dataset.Path, "mkdir"),
        "open": (fish_dataset, "open"),
        "replace": (fish_dataset.os, "replace"),
    }[place]
    monkeypatch.setattr(*target, refuse, raising=False)
    assert len(load_fish(8, size=16, source="kaggle")) == 8
    assert not list(here.rglob("*.npz*"))
