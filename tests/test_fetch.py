"""Fetching from Kaggle: the real client against a server on this machine, and the command around it."""

import base64
import io
import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
from local_server import Answer, LocalServer, closed_port
from PIL import Image

from stablediff_edu.__main__ import main
from stablediff_edu.cli import fetch
from stablediff_edu.data import download as download_module
from stablediff_edu.data.fish.dataset import DATASET, load_fish
from stablediff_edu.data.kaggle_client import download_dataset
from stablediff_edu.errors import UserError

API = "/v1/datasets.DatasetApiService/DownloadDataset"
TOKEN_API = "/v1/security.OAuthService/IntrospectToken"
STORE = "/store/archive.zip?signature=1"
JSON = {"Content-Type": "application/json"}


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def fish_archive(species=("Trout", "Sea Bass"), each=3):
    """An archive laid out as Kaggle's is; its images are noise."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for kind in species:
            for number in range(1, each + 1):
                inner = f"Fish_Dataset/Fish_Dataset/{kind}"
                archive.writestr(f"{inner}/{kind}/{number:05}.png", png(rng.integers(0, 256, (45, 59, 3), np.uint8)))
                archive.writestr(f"{inner}/{kind} GT/{number:05}.png", png(np.eye(45, 59, dtype=np.uint8) * 255))
            archive.writestr(f"NA_Fish_Dataset/{kind}/00001.png", png(np.zeros((45, 59, 3), np.uint8)))
    return file.getvalue()


ARCHIVE = fish_archive()


@pytest.fixture(scope="module")
def running_server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home without keys, and a Kaggle client that has not been imported yet."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    return home


@pytest.fixture
def kaggle(running_server, home, tmp_path, monkeypatch):
    """Kaggle on this machine: its API sends the client to a store, which serves the archive."""
    from kagglesdk import kaggle_env

    running_server.requests.clear()
    running_server.routes.clear()
    running_server.routes |= {
        API: Answer(status=302, headers={"Location": STORE}),
        STORE: Answer(ARCHIVE, headers={"ETag": '"1"'}, ranges=True),
    }
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running_server.url)
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.0)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    for other in ("cifar10", "mnist", "text8"):  # they come from elsewhere, and have tests of their own
        monkeypatch.delitem(fetch.REAL_DATA, other)
    return running_server


@pytest.fixture
def archive(tmp_path):
    """A good old archive where the new one is to come."""
    path = tmp_path / "data" / "fish.zip"
    path.parent.mkdir()
    path.write_bytes(b"good old archive")
    return path


def fails(match, archive, left=()):
    with pytest.raises(UserError, match=match) as error:
        download_dataset(DATASET, archive, progress=False)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")
    assert archive.read_bytes() == b"good old archive"
    assert sorted(item.name for item in archive.parent.iterdir()) == sorted([archive.name, *left])


def key_file(home, text='{"username": "ada", "key": "0815"}', mode=0o600):
    folder = home / ".kaggle"
    folder.mkdir()
    (folder / "kaggle.json").write_text(text)
    (folder / "kaggle.json").chmod(mode)


# --- the client ----------------------------------------------------------------------------------------------------


def test_without_a_key(kaggle, archive, home, capfd):
    assert download_dataset(DATASET, archive).read_bytes() == ARCHIVE
    assert all("Authorization" not in headers for _, _, headers in kaggle.requests)
    out, bar = capfd.readouterr()
    assert out == f"Kaggle: {DATASET}, without a key\n"
    assert "100%" in bar and "kaggle" not in bar.lower()
    assert list(home.iterdir()) == []  # the client would have left an empty folder


def test_a_server_that_sends_the_archive_itself(kaggle, archive):
    kaggle.routes[API] = Answer(ARCHIVE)
    assert download_dataset(DATASET, archive, progress=False).read_bytes() == ARCHIVE


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_with_a_key_file(kaggle, archive, home, capfd, mode):
    key_file(home, mode=mode)
    download_dataset(DATASET, archive)
    assert capfd.readouterr().out == f"Kaggle: {DATASET}, signed in as ada\n"
    to_api, *to_store = kaggle.requests
    assert to_api[2]["Authorization"] == "Basic " + base64.b64encode(b"ada:0815").decode()
    assert "Authorization" not in to_store[-1][2]  # the store has its signature and needs no key


def test_with_a_key_in_the_environment(kaggle, archive, monkeypatch, capfd):
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "0815")
    download_dataset(DATASET, archive)
    assert "signed in as ada" in capfd.readouterr().out


def test_with_a_token(kaggle, archive, monkeypatch, capfd):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
    kaggle.routes[TOKEN_API] = Answer(json.dumps({"active": True, "username": "ada"}).encode(), headers=JSON)
    download_dataset(DATASET, archive)
    assert "signed in as ada" in capfd.readouterr().out
    bearer = [headers.get("Authorization") for _, path, headers in kaggle.requests if path == API]
    assert bearer == ["Bearer token"]


def test_stale_tokens(kaggle, archive, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale")
    kaggle.routes[TOKEN_API] = Answer(b"", status=401)
    fails(r"with the key that is set up \(401\): the key is stale", archive)
    kaggle.routes[TOKEN_API] = Answer(b'{"active": false}', headers=JSON)
    kaggle.routes[API] = Answer(b"", status=401)
    fails(r"without a key \(401\): the key is stale or missing; make a new one at", archive)


def test_a_token_that_the_client_chokes_on(kaggle, archive, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x" * 300)  # it is first tried as the name of a file
    fails("Kaggle's client cannot use the key that is set up", archive)


@pytest.mark.parametrize("text", ["{broken", "{}", ""])
def test_a_broken_key_file_is_told_and_passed_over(kaggle, archive, home, capfd, text):
    key_file(home, text)
    assert download_dataset(DATASET, archive).read_bytes() == ARCHIVE
    assert capfd.readouterr().out.endswith("kaggle.json is broken)\n")


def test_a_key_file_that_is_something_else(kaggle, archive, home):
    key_file(home, "[1]")
    fails("Kaggle's client cannot use the key that is set up", archive)


def test_a_home_that_cannot_be_written(kaggle, archive, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nobody")
    assert download_dataset(DATASET, archive, progress=False).read_bytes() == ARCHIVE
    assert "KAGGLE_CONFIG_DIR" not in os.environ


def test_a_client_that_cannot_be_imported(kaggle, archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    fails("Kaggle's client cannot be used here .*; run: make lab", archive)


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, r"without a key \(401\): the key is stale or missing"),
        (403, r"\(403\): sign in there, accept the data set's rules, confirm your phone"),
        (404, r"\(404\): it is no longer there"),
        (500, r"in trouble \(500\)"),
    ],
)
@pytest.mark.parametrize("path", [API, STORE])
def test_refusals(kaggle, archive, status, match, path):
    kaggle.routes[path] = Answer(b"<html>no</html>", status=status)
    fails(match, archive)


def test_a_refusal_inside_a_good_answer(kaggle, archive):
    kaggle.routes[API] = Answer(json.dumps({"code": 403, "message": "rules"}).encode(), status=403, headers=JSON)
    fails(r"\(403\)", archive)


def test_no_network(kaggle, archive, monkeypatch):
    from kagglesdk import kaggle_env

    nobody = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, nobody)
    fails("does not answer; check the network", archive)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")  # then it fails as early as signing in
    fails("does not answer; check the network", archive)


def test_cut_downloads_go_on(kaggle, archive, monkeypatch):
    monkeypatch.setattr(download_module, "_CHUNK", 1000)
    kaggle.routes[STORE].cut_at, kaggle.routes[STORE].cuts = len(ARCHIVE) // 2, 2  # the client's own look, and ours
    assert download_dataset(DATASET, archive, progress=False).read_bytes() == ARCHIVE
    assert any("Range" in headers for _, _, headers in kaggle.requests)


def test_half_a_download(kaggle, archive):
    kaggle.routes[STORE] = Answer(ARCHIVE, headers={"ETag": '"1"'}, cut_at=len(ARCHIVE) // 2)
    fails("cut 5 times before fish.zip was complete", archive, left=("fish.zip.part", "fish.zip.part.tag"))


# --- the command ---------------------------------------------------------------------------------------------------


def test_fetch_fish_and_load_them(kaggle, tmp_path, capsys):
    assert main(["fetch", "fish"]) == 0
    assert f"fish: fetched, 6 photographs in {tmp_path / 'data' / 'fish'}" in capsys.readouterr().out
    assert sorted(item.name for item in (tmp_path / "data").iterdir()) == ["fish"]
    assert len(load_fish(6, size=32, source="kaggle")) == 6
    kaggle.requests.clear()
    assert main(["fetch", "fish"]) == 0 and kaggle.requests == []
    assert "complete, 6 photographs" in capsys.readouterr().out
    assert main(["fetch", "fish", "--force"]) == 0 and kaggle.requests
    assert "fetched, 6 photographs" in capsys.readouterr().out


def test_what_is_incomplete_is_fetched_again(kaggle, tmp_path, capsys):
    assert main(["fetch", "all"]) == 0
    lost = next((tmp_path / "data" / "fish").rglob("Trout GT")) / "00001.png"
    lost.unlink()
    assert main(["fetch", "all"]) == 0 and lost.exists()
    assert "fish  fetched, 6 photographs" in capsys.readouterr().out


def test_photographs_put_there_by_hand_are_left_alone(kaggle, tmp_path, capsys):
    by_hand = tmp_path / "data" / "fish" / "Trout"
    for name in ("Trout", "Trout GT"):
        (by_hand / name).mkdir(parents=True)
        (by_hand / name / "1.png").write_bytes(png(np.zeros((4, 4), np.uint8)))
    assert main(["fetch", "fish"]) == 0 and kaggle.requests == []
    assert "1 photographs" in capsys.readouterr().out


def test_what_a_browser_has_downloaded_is_taken(kaggle, tmp_path, capsys):
    kaggle.routes[API] = Answer(status=403)
    assert main(["fetch", "fish"]) == 2
    assert "python -m stablediff_edu download fish --from FILE" in capsys.readouterr().out
    (tmp_path / "Downloads").mkdir()
    archive = tmp_path / "Downloads/archive.zip"
    archive.write_bytes(ARCHIVE)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "Downloads/archive")
    for given in (archive, archive.with_suffix("")):  # the zip file, and the folder that an unpacker made of it
        assert main(["download", "fish", "--force", "--from", str(given)]) == 0
        assert len(load_fish(6, size=32, source="kaggle")) == 6 and given.exists()
        shutil.rmtree(tmp_path / "data/fish")
    for name, contents in {"other.zip": b"PK", "page.html": b"<html>", "missing.zip": None}.items():
        given = tmp_path / "Downloads" / name
        if contents:
            given.write_bytes(contents)
        assert main(["download", "fish", "--from", str(given)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def bad_archives():
    flipped = bytearray(ARCHIVE)
    flipped[len(ARCHIVE) // 3] ^= 1
    hostile = io.BytesIO(ARCHIVE)
    with zipfile.ZipFile(hostile, "a") as archive:
        archive.writestr("../../evil", "evil")
    return {
        "truncated": (ARCHIVE[: len(ARCHIVE) // 2], "is broken"),
        "flipped": (bytes(flipped), "is broken"),
        "page": (b"<html>sign in</html>", "A web page came instead of fish.zip"),
        "hostile": (hostile.getvalue(), "dangerous path"),
        "no fish": (fish_archive(species=()), "no fish photographs"),
    }


@pytest.mark.parametrize("kind", list(bad_archives()))
def test_a_bad_archive_leaves_the_good_photographs(kaggle, tmp_path, capsys, kind):
    assert main(["fetch", "fish"]) == 0
    before = load_fish(6, size=32, source="kaggle").images
    body, match = bad_archives()[kind]
    kaggle.routes[STORE] = Answer(body)
    assert main(["fetch", "fish", "--force"]) == 2
    error = capsys.readouterr().err
    assert match in error and "Traceback" not in error
    assert sorted(item.name for item in (tmp_path / "data").iterdir()) == ["fish"]
    assert not list(tmp_path.rglob("evil"))
    assert load_fish(6, size=32, source="kaggle").images.equal(before)


def test_all_goes_on_and_ends_with_a_table(kaggle, monkeypatch, capsys):
    monkeypatch.setitem(fetch.REAL_DATA, "other", fetch.RealDataset("", lambda force: "fetched"))
    kaggle.routes[API] = Answer(status=403)
    assert main(["fetch", "all"]) == 2
    out = capsys.readouterr().out
    assert "fish   not fetched: The data set" in out and "(403)" in out and "other  fetched" in out


def test_an_archive_left_by_a_full_disk_is_used(kaggle, archive):
    archive.write_bytes(ARCHIVE)
    assert main(["fetch", "fish"]) == 0 and kaggle.requests == []
    assert not archive.exists()
