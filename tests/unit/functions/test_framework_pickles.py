"""What a pickle needs, read without running it."""

import bz2
import gzip
import lzma
import pickle
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.linear_model import Ridge

from framework_support import X, Y, mixed_pipeline
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.frameworks.pickles import UnreadablePickleError, contents


class TestPickles:
    """Reading a pickle without running it."""

    MODEL = RandomForestClassifier(3, random_state=0).fit(X, Y)

    @pytest.mark.parametrize("compress", [0, 3, ("zlib", 1), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)])
    def test_joblib_files_of_every_compression_tell_their_version(self, tmp_path: Path, compress: Any) -> None:
        joblib.dump(self.MODEL, tmp_path / "m.joblib", compress=compress)

        wanted = requirements("sklearn", tmp_path, {})

        assert any(w.startswith("scikit-learn==") for w in wanted)
        assert "joblib" in wanted
        assert not any(w.startswith("pandas") for w in wanted), "a forest needs no data frame to predict"

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_plain_pickles_of_every_protocol_tell_their_version(self, tmp_path: Path, protocol: int) -> None:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(self.MODEL, protocol=protocol))

        assert any(w.startswith("scikit-learn==") for w in requirements("sklearn", tmp_path, {}))

    def test_columns_picked_by_name_ask_for_pandas(self, tmp_path: Path) -> None:
        joblib.dump(mixed_pipeline(), tmp_path / "m.joblib")

        assert "pandas" in requirements("sklearn", tmp_path, {})

    def test_nothing_of_the_pickle_is_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "sprung",))

        (tmp_path / "m.pkl").write_bytes(pickle.dumps(Trap()))
        contents(tmp_path / "m.pkl")

        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
    def test_what_is_cut_short_is_unreadable_and_asks_for_what_loads_it(self, tmp_path: Path, pack: Any) -> None:
        whole = pack(pickle.dumps(self.MODEL))
        (tmp_path / "m.pkl").write_bytes(whole[: len(whole) // 2])

        with pytest.raises(UnreadablePickleError):
            contents(tmp_path / "m.pkl")
        assert {"joblib", "scikit-learn"} == {r.partition("=")[0] for r in requirements("sklearn", tmp_path, {})} - {
            "numpy>"
        }

    def test_code_that_is_pickled_by_value_asks_for_the_modules_that_it_imports(self, tmp_path: Path) -> None:
        by_value = b"\x80\x04\x8c\x17cloudpickle.cloudpickle\x8c\x09subimport\x93\x8c\x06pandas\x85R."
        (tmp_path / "m.pkl").write_bytes(by_value)
        assert ["cloudpickle", "joblib", "pandas", "scikit-learn"] == requirements("sklearn", tmp_path, {})

    def test_modules_beside_the_file_ask_for_what_they_import(self, tmp_path: Path) -> None:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(1))
        (tmp_path / "own.py").write_text("import numpy, pandas as pd\nfrom lightgbm.sklearn import LGBMModel\n")
        assert ["joblib", "lightgbm", "pandas", "scikit-learn"] == requirements("sklearn", tmp_path, {})

    @pytest.mark.parametrize(
        ("version", "cap"), [("1.2.2", True), ("1.4.1", True), ("1.4.2", False), ("1.10.0", False)]
    )
    def test_versions_that_know_nothing_of_numpy_2_get_an_older_one(
        self, tmp_path: Path, version: str, cap: bool
    ) -> None:
        model = Ridge().fit(X, Y)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sklearn.base.__version__", version)
            (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
        found = requirements("sklearn", tmp_path, {})
        assert f"scikit-learn=={version}" in found
        assert cap == ("numpy<2" in found)

    def test_a_pointer_of_version_control_is_named_with_the_command_that_fetches_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "m.joblib").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
        with pytest.raises(InvalidInput, match="a pointer, not the model") as caught:
            requirements("sklearn", tmp_path, {})
        assert "git lfs pull" in (caught.value.hint or "")

    def test_a_boosters_own_file_is_told_to_be_dumped_as_an_estimator(self, tmp_path: Path) -> None:
        (tmp_path / "model.ubj").write_bytes(b"{}")
        with pytest.raises(InvalidInput, match="no model file") as caught:
            requirements("sklearn", tmp_path, {})
        assert "joblib.dump" in (caught.value.hint or "")

    def test_object_arrays_of_joblib_are_read(self, tmp_path: Path) -> None:
        joblib.dump({"a": np.array(["x", None], dtype=object), "b": np.ones(3)}, tmp_path / "m.joblib")

        assert contents(tmp_path / "m.joblib")
