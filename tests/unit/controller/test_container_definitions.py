"""A model that is an image of its own: what its definition may say, what becomes of it, and where it is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_controller.building.room import Needs
from headrace_controller.definitions import ModelDefinition, read_text
from headrace_controller.service.localroom import LocalBuildRoom
from headrace_functions.errors import InvalidInput

FIELD = {"shape": "scalar", "type": "double"}
IMAGE = "registry.example/churn:3"
CONTRACT = {"inputs": {"x": FIELD}, "outputs": {"y": FIELD}}


def definition(container: Any = None, **more: Any) -> ModelDefinition:
    document = {
        "kind": "Model",
        "name": "churn",
        "container": container or {"image": IMAGE},
        "contract": CONTRACT,
        **more,
    }
    ((found, _),) = read_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
    assert isinstance(found, ModelDefinition)
    return found


def test_the_server_is_asked_on_the_pod_s_loopback_under_its_own_name() -> None:
    told = definition({"image": IMAGE, "port": 9000, "model": "m"}, framework="container").loader_options()
    assert ("http://127.0.0.1:9000/v2/models/m", "/v2/models/m/ready") == (told["url"], told["readiness"])
    assert "http://127.0.0.1:8080/v2/models/churn" == definition().loader_options()["url"]


@pytest.mark.parametrize(
    ("container", "more", "said"),
    [
        ({"image": "registry.example/churn"}, {}, "not an image with a fixed tag"),
        ({"image": "registry.example/churn:latest"}, {}, "not an image with a fixed tag"),
        ({"image": IMAGE, "port": 8012}, {}, "8012 is a port of Knative's proxy"),
        ({"image": IMAGE, "port": 0}, {}, "port"),
        ({"image": IMAGE, "readiness": "ready"}, {}, "'ready' is not a path"),
        ({"image": IMAGE, "env": {"A-B": "1"}}, {}, "'A-B' is not the name of a variable"),
        ({"image": IMAGE, "user": 0}, {}, "user"),
        ({"image": IMAGE, "prot": 80}, {}, "did you mean 'port'"),
        (None, {"payload": ["model.joblib"]}, "a container has no payload"),
        (None, {"external": True}, "a container has no external"),
        (None, {"image": "a:1"}, "a container has no image"),
        (None, {"requirements": ["numpy"]}, "a container has no requirements"),
        (None, {"framework": "sklearn"}, "a container has no framework 'sklearn'"),
        (None, {"contract": {"inputs": {"x": FIELD}}}, "contract.outputs are missing"),
    ],
)
def test_what_a_container_cannot_be_is_refused_by_key(container: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        definition(container, **more)
    assert said in f"{refused.value.message} {refused.value.hint}"


def test_the_framework_without_the_key_asks_for_it() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_text("kind: Model\nname: churn\nframework: container\npayload: [a]\n")
    assert "container" in str(refused.value.field)


def test_one_machine_refuses_it_and_says_what_to_do(tmp_path: Path) -> None:
    room = LocalBuildRoom(None, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as refused:
        room.prepare(Needs((), container=IMAGE), lambda _text: None)
    assert ("container", IMAGE) == (refused.value.field, refused.value.got)
    assert "external" in str(refused.value.hint)
