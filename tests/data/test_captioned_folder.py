"""The reader of captioned images: every position of a caption, and what is left out by name."""

import json
from pathlib import Path

import pytest
from PIL import Image

from stablediff_edu.data.captioned_folder import caption_of_name, load_captioned_folder
from stablediff_edu.errors import UserError


def image(path: Path, color="red", mode: str = "RGB", size: tuple[int, int] = (20, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path)
    return path


def text(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    image(tmp_path / "red_car_03.png")
    image(tmp_path / "blue_car_04.jpg", "blue")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("red_car_03.png", "red car"), ("red-car.png", "red car"), ("a red car (2).jpg", "a red car"),
        ("red car/0007.png", "red car"), ("2_cats.png", "2 cats"), ("7.png", ""), ("Größe_1.png", "Größe"),
    ],
)  # fmt: skip
def test_a_name_is_a_caption_without_its_number(name: str, caption: str):
    assert caption_of_name(Path(name)) == caption


def test_captions_come_from_names_then_metadata_then_texts(two: Path):
    assert load_captioned_folder(two, 16).captions == [("blue car",), ("red car",)]
    text(two / "metadata.csv", '\ufefffile_name,text\nred_car_03.png,"a car, red"\nblue_car_04.jpg,a blue one\n')
    assert load_captioned_folder(two, 16).captions == [("a blue one",), ("a car, red",)]
    (two / "metadata.csv").unlink()
    rows = [{"file_name": "./red_car_03.png", "text": ["one", "two"]}, {"file_name": "blue_car_04.jpg", "text": "b"}]
    text(two / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert load_captioned_folder(two, 16).captions == [("b",), ("one", "two")]
    image(two / "x.png", "green")
    assert load_captioned_folder(two, 16).left_out == ["x.png: no caption"]
    for name in ("red_car_03", "x"):
        text(two / f"{name}.txt", f"{name}\n\nor this\n")
    found = load_captioned_folder(two, 16)
    assert found.source == "NAME.txt files" and found.left_out == ["blue_car_04.jpg: no caption"]
    assert found.captions == [("red_car_03", "or this"), ("x", "or this")]


def test_metadata_may_lie_in_a_folder_inside(tmp_path: Path):
    image(tmp_path / "train/a.png")
    image(tmp_path / "train/b.png", "blue")
    text(tmp_path / "train/metadata.csv", "file_name,text\na.png,red\nb.png,blue\nc.png,lost\n")
    found = load_captioned_folder(tmp_path)
    assert found.names == ["train/a.png", "train/b.png"] and found.captions == [("red",), ("blue",)]
    assert found.left_out == ["train/c.png: named in train/metadata.csv, but not there"]


def test_broken_files_and_copies_are_named_and_a_copy_adds_its_caption(two: Path):
    image(two / "crimson.png")
    text(two / "notes.pdf", "no image")
    (two / "half.png").write_bytes((two / "red_car_03.png").read_bytes()[:60])
    (two / ".hidden.png").write_bytes(b"")
    found = load_captioned_folder(two, 16)
    assert found.names == ["blue_car_04.jpg", "crimson.png"] and found.captions[1] == ("crimson", "red car")
    assert [line.partition(":")[0] for line in found.left_out] == ["notes.pdf", "half.png", "red_car_03.png"]
    assert found.left_out[2].endswith("the same image as crimson.png")


def test_the_vocabulary_is_that_of_the_captions(two: Path):
    found = load_captioned_folder(two, 16)
    assert found.vocabulary() == ["blue", "car", "red"] and found.vocabulary(most=1) == ["car"]
    assert found.unique_share() == 1


def test_bad_folders_are_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="is not there"):
        load_captioned_folder(tmp_path / "nothing")
    with pytest.raises(UserError, match="There are no images"):
        load_captioned_folder(tmp_path)
    image(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"There are 0 images with a caption .* 1.png: no caption"):
        load_captioned_folder(tmp_path)
    image(tmp_path / "car.png", "blue")
    with pytest.raises(UserError, match="There are 1 images with a caption"):
        load_captioned_folder(tmp_path)
    text(tmp_path / "metadata.csv", "name,caption\n1.png,red\n")
    with pytest.raises(UserError, match="has: caption, name"):
        load_captioned_folder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    text(tmp_path / "metadata.jsonl", "{broken")
    with pytest.raises(UserError, match="cannot be read"):
        load_captioned_folder(tmp_path)
