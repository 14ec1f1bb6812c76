"""Uploads: pieces on their way to a disk, never a file in memory."""

import hashlib
import tracemalloc
from pathlib import Path

import pytest

from controller_support import FakeServices, make_platform, serving
from headrace_controller import archive
from headrace_controller.client import Client
from headrace_controller.definitions import ModelDefinition
from headrace_controller.projects.packaging import Package
from headrace_controller.service import assembly
from headrace_controller.service.assembly import Given, content_digest
from headrace_functions.errors import TooLarge

SIZE = 96 * 1024**2


def given_package(folder: Path, training: Path) -> Package:
    (folder / "function.py").write_text("def predict(model, x):\n    return {'y': x}\n")
    archive.pack(["function.py"], folder, folder / "payload.tar.zst")
    document = {"kind": "Model", "name": "m", "framework": "python", "payload": ["function.py"], "requirements": []}
    return Package(ModelDefinition.model_validate(document), folder / "payload.tar.zst", training, None)


def test_a_file_is_in_nobodys_memory_on_its_way_from_the_client_to_a_build(tmp_path: Path) -> None:
    """Client and server are in this process; the file has no line end, so it is refused after its first megabyte."""
    training = tmp_path / "train.csv"
    with training.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(b"a" * (1 << 20))
    platform = make_platform(tmp_path / "home", FakeServices())
    package = given_package(tmp_path, training)
    with serving(platform) as url, Client(url) as client:
        client.status()  # what the first request imports is none of the file's
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge, match=r"train\.csv: the header has more"):
                client.apply_model(package)
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert [] == list(client.models()), "no number is given for it"
    assert taken < SIZE / 4


def test_what_came_is_not_read_again_to_know_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = tmp_path / "train.csv"
    training.write_text("x\n1\n")
    package = given_package(tmp_path, training)
    digest = archive.digest(package.payload)
    read = content_digest(package.definition, Given(tmp_path, package.payload, digest, training))
    known = {training: hashlib.sha256(b"x\n1\n").hexdigest()}
    monkeypatch.setattr(assembly.archive, "digest", None)
    assert content_digest(package.definition, Given(tmp_path, package.payload, digest, training, None, known)) == read
