"""The learner's own images and masks: pairing, reading, splitting, and what is said when something is wrong."""

import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stablediff_edu.data.segmentation_folder import SegmentationDataset, load_segmentation_folder, pair_names
from stablediff_edu.errors import UserError


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


def gray(height=20, width=30, value=90):
    return np.full((height, width), value, np.uint8)


def half_mask(height=20, width=30, low=0, high=255):
    mask = np.full((height, width), low, np.uint8)
    mask[:, width // 2 :] = high
    return mask


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "images", tmp_path / "masks"


def sentence(error):
    text = str(error.value)
    assert "\n" not in text and text.endswith((".", ".png.")) and len(text) < 400
    return text


# --- pairing -------------------------------------------------------------------------------------------------------

stems = st.text("abcXYZ0189 -_é", min_size=1, max_size=8).filter(lambda name: name.strip(" _-.") == name)
endings = st.sampled_from(["png", "PNG", "jpg", "JPEG", "tif", "webp", "bmp"])
words = st.sampled_from(["", "_mask", "-mask", " GT", "_gt", "_label", ".mask", "_Masks", " ground truth", "_seg"])


@given(
    st.lists(stems, min_size=1, max_size=8, unique_by=str.casefold), st.data(), st.sampled_from(["", "a/", "b/Trout/"])
)
def test_every_image_finds_its_mask(names, data, folder):
    images = [f"{folder}{name}.{data.draw(endings)}" for name in names]
    masks = [f"{folder}{name}{data.draw(words)}.{data.draw(endings)}" for name in names]
    order = data.draw(st.permutations(masks))
    assert pair_names(images, order) == {a: [b] for a, b in zip(images, masks, strict=True)}


@given(st.lists(stems, min_size=1, max_size=6, unique_by=str.casefold), words, st.data())
def test_a_missing_mask_is_named(names, word, data):
    lost = data.draw(st.sampled_from(names))
    with pytest.raises(UserError, match="There is no mask for") as error:
        pair_names([f"{name}.png" for name in names], [f"{name}{word}.png" for name in names if name != lost])
    assert f"{lost}.png" in str(error.value)


def test_the_exact_name_wins_over_the_loose_one():
    assert pair_names(["a.png", "a_gt.png"], ["a.png", "a_gt.png"]) == {"a.png": ["a.png"], "a_gt.png": ["a_gt.png"]}


def test_two_masks_for_one_image_and_two_images_for_one_mask_are_refused():
    with pytest.raises(UserError, match=r"Two masks fit a.png: a_mask.png and a-gt.png"):
        pair_names(["a.png"], ["a_mask.png", "a-gt.png"])
    with pytest.raises(UserError, match="would share the mask"):
        pair_names(["a.png", "a.jpg"], ["a_mask.png"])


def test_one_folder_for_both_and_one_inside_the_other(tmp_path):
    both = tmp_path / "both"
    for name in ("x", "y"):
        write(both / f"{name}.png", gray())
        write(both / f"{name}_mask.png", half_mask())
    assert load_segmentation_folder(both, both, size=16).names == ["x", "y"]
    inner = tmp_path / "inner"
    write(inner / "x.png", gray())
    write(inner / "masks" / "x.png", half_mask())
    assert load_segmentation_folder(inner, inner / "masks", size=16).names == ["x"]


def test_folders_inside_must_agree_and_rubbish_is_passed_over(folders):
    images, masks = folders
    for part in ("one", "two"):
        write(images / part / "7.png", gray())
        write(masks / part / "7_mask.png", half_mask())
    write(images / "__MACOSX" / "7.png", gray())
    write(images / ".hidden.png", gray())
    (images / "notes.txt").write_text("no image")
    loaded = load_segmentation_folder(images, masks, size=16)
    assert loaded.names == ["one/7", "two/7"]
    assert torch.equal(loaded.masks[0], loaded.masks[1]) and loaded.left_out == ["notes.txt: not an image"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("7.jpg", "7.jpg.png"), ("7.jpg", "mask_7.png"), ("7_sat.jpg", "7_mask.png"), ("7.png", "007.png"),
        ("é1.jpg", unicodedata.normalize("NFD", "é1_mask.png")), ("A.PNG", "a.gif"), ("7.png", "GT-7.bmp"),
    ],
)  # fmt: skip
def test_usual_spellings_are_paired(image, mask):
    assert pair_names([image, "8.jpg"], ["8.png", mask]) == {image: [mask], "8.jpg": ["8.png"]}


def test_several_masks_of_an_image_are_united(folders):
    write(folders[0] / "a.png", gray(40, 40))
    for number, columns in enumerate((slice(0, 10), slice(20, 30)), 1):
        mask = np.zeros((40, 40), np.uint8)
        mask[:, columns] = 255
        write(folders[1] / f"a_mask_{number}.png", mask)
    write(folders[1] / "b_mask.png", mask)
    loaded = load_segmentation_folder(*folders, size=40)
    assert loaded.masks.mean() == 0.5 and loaded.left_out == ["b_mask.png: a mask without an image"]


def test_links_to_folders_are_followed_once(folders, tmp_path):
    write(tmp_path / "elsewhere/a.png", gray())
    write(folders[1] / "linked/a.png", half_mask())
    folders[0].mkdir()
    (folders[0] / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(folders[0])
    assert load_segmentation_folder(*folders, size=8).names == ["linked/a"]


# --- reading -------------------------------------------------------------------------------------------------------


def test_labels_are_foreground_as_the_caller_says(folders):
    images, masks = folders
    write(images / "a.png", gray(40, 40))
    labels = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 40, 1)  # a label for each cell
    labels[:20] = 0
    write(masks / "a.png", labels)
    with pytest.raises(UserError, match=r"21 values .* --foreground nonzero") as error:
        load_segmentation_folder(images, masks)
    sentence(error)
    assert load_segmentation_folder(images, masks, 40, "nonzero").masks.sum() == 20 * 40
    assert load_segmentation_folder(images, masks, 40, [20, 21]).masks.sum() == 2 * 40


def test_transparent_parts_are_white(folders):
    see_through = np.full((20, 30, 4), 0, np.uint8)
    see_through[:, 15:, 3] = 255
    write(folders[0] / "a.png", see_through)
    write(folders[1] / "a.png", half_mask())
    images = load_segmentation_folder(*folders, size=10).images
    assert images[..., :4].min() > 0.95 and images[..., 6:].max() < -0.5


def test_a_turned_camera_turns_the_image_upright(folders):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90°
    write(folders[0] / "a.jpg", gray(20, 30), exif=exif)
    write(folders[1] / "a.png", half_mask(30, 20))
    assert len(load_segmentation_folder(*folders, size=8)) == 1


def test_shrinking_is_antialiased_and_masks_stay_zero_or_one(folders):
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))
    write(folders[0] / "a.png", stripes)
    disc = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 90
    write(folders[1] / "a.png", disc.astype(np.uint8))
    loaded = load_segmentation_folder(*folders, size=64)
    assert loaded.images.abs().max() < 0.1  # stripes finer than a pixel become gray, not a beat
    assert set(loaded.masks.unique().tolist()) == {0.0, 1.0}
    assert abs(loaded.masks.mean().item() - disc.mean()) < 0.005


# --- what is said when something is wrong --------------------------------------------------------------------------


def test_missing_and_empty_folders(folders):
    for folder, what in zip(folders, ("images", "masks"), strict=True):
        with pytest.raises(UserError, match=f"{what}, is not there") as error:
            load_segmentation_folder(*folders)
        sentence(error)
        folder.mkdir()
        with pytest.raises(UserError, match=f"There are no {what} in") as error:
            load_segmentation_folder(*folders)
        sentence(error)
        write(folder / "a.png", gray())


def test_a_mask_of_another_size(folders):
    write(folders[0] / "a.png", gray(20, 30))
    write(folders[1] / "a_mask.png", half_mask(10, 15))
    with pytest.raises(UserError, match=r"a.png is 30×20 .* a_mask.png is 15×10") as error:
        load_segmentation_folder(*folders)
    sentence(error)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "webp"])
def test_a_truncated_image_is_named_wherever_it_ends(folders, ending):
    rng = np.random.default_rng(0)
    path = write(folders[0] / f"a.{ending}", rng.integers(0, 256, (40, 50, 3), np.uint8))
    write(folders[1] / "a.png", half_mask(40, 50))
    whole = path.read_bytes()
    for length in (0, 20, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=f"a.{ending} is broken or not an image") as error:
            load_segmentation_folder(*folders)
        sentence(error)


@pytest.mark.parametrize(("values", "scale"), [((0, 60_000), 65535), ((0, 4000), 4095), ((0, 255), 255)])
def test_images_of_16_bits_are_read(folders, values, scale):
    deep = np.where(half_mask() > 0, values[1], values[0]).astype(np.uint16)
    write(folders[0] / "a.tif", deep)
    write(folders[1] / "a.png", half_mask())
    images = load_segmentation_folder(*folders, size=10).images
    assert (images[..., 6:] - (2 * values[1] / scale - 1)).abs().max() < 0.03 and images[..., :4].max() < -0.98


# --- SegmentationDataset -----------------------------------------------------------------------------------------


def some(groups):
    n = len(groups)
    images = torch.arange(n).float().view(n, 1, 1, 1).expand(n, 3, 4, 4)
    return SegmentationDataset(
        images, torch.zeros(n, 1, 4, 4), torch.tensor(groups), [str(i) for i in range(n)], "test"
    )


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda groups: len(set(groups)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 1000),
)
def test_a_split_keeps_groups_whole_and_no_side_empty(groups, part, seed):
    data = some(groups)
    train, held_out = data.split(part, seed)
    assert len(train) and len(held_out)
    assert sorted([*train.names, *held_out.names], key=int) == data.names
    assert not set(train.groups.tolist()) & set(held_out.groups.tolist())
    again = data.split(part, seed)
    assert (again[0].names, again[1].names) == (train.names, held_out.names)
    assert train.images[:, 0, 0, 0].tolist() == [float(name) for name in train.names]


def test_a_split_meets_the_fraction_and_depends_on_the_seed():
    data = some(list(range(100)))
    assert len(data.split(0.2)[1]) == 20 and len(data.split(0.35)[1]) == 35
    assert data.split(0.2, seed=0)[1].names != data.split(0.2, seed=1)[1].names
    assert len(data.first(2)) == 2 and len(data.first(999)) == 100 and data.first(1).source == "test"
    with pytest.raises(UserError, match="cannot be split"):
        some([3, 3, 3]).split()
