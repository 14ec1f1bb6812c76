"""PyTorch comes from its own index where that is reached, and a lock is installed as it was made."""

import pytest

from headrace_controller.environments import pytorch


def test_the_build_is_chosen_by_the_machine_unless_the_operator_has_chosen() -> None:
    assert ["--torch-backend", "auto"] == pytorch.resolving({})
    for name in ("UV_TORCH_BACKEND", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_NO_INDEX"):
        assert [] == pytorch.resolving({name: "cpu"})


@pytest.mark.parametrize(
    ("lock", "options"),
    [
        ("numpy==2.0\ntorch==2.9.1+cpu \\\n    --hash=sha256:0\n", ["--torch-backend", "cpu"]),
        ("torch==2.9.1+cu128\n", ["--torch-backend", "cu128"]),
        ("torch==2.9.1\n", []),
        ("torchmetrics==1.0+cpu\nnumpy==2.0\n", []),
    ],
)
def test_a_lock_says_which_build_it_was_made_with(lock: str, options: list[str]) -> None:
    assert options == pytorch.installing(lock)


def test_only_what_uv_says_of_pytorch_s_index_makes_it_try_without() -> None:
    assert pytorch.unreached("error sending request for url (https://index.example/whl/cpu/torch/)")
    assert not pytorch.unreached("No solution found when resolving dependencies")
