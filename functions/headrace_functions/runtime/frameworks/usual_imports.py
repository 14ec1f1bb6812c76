"""Which classes and functions a pickle may name without anybody being asked: those that fitted models are made of. Data and one rule.

A pickle is a program that calls what it names. The rule knows what the libraries of models put into theirs; everything else is unusual: it may be
harmless (a class of your own) or not (``os.system``), and it is for the owner to say. This is a gate, no sandbox: a payload's own Python files and a library's own
code run with the rights of the function.
"""

import _compat_pickle
import re
import sys
import types
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Name(NamedTuple):
    """What a pickle imports: a name, with dots where it is a member of a class, in a module."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_EXACT: dict[str, str] = {
    "builtins": "object set frozenset list dict tuple int float complex bool str bytes bytearray slice range print type len sum min max abs sorted",
    "copyreg": "_reconstructor __newobj__",
    "_codecs": "encode",
    "collections": "OrderedDict defaultdict Counter deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "uuid": "UUID",
    "pathlib": "Path PosixPath PurePath PurePosixPath WindowsPath",
    "operator": "itemgetter",
    "re": "_compile",
    "array": "array _array_reconstructor",
    "random": "Random",
    "types": "MethodType SimpleNamespace",
    "inspect": "Parameter Signature _ParameterKind _empty",
    "zoneinfo": "ZoneInfo ZoneInfo._unpickle",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "numpy": "ndarray dtype matrix recarray record asarray mean median average sum prod min max amin amax std var ptp",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    "scipy._lib.array_api_compat.numpy": "asarray",
    "pandas": "DataFrame Series Index RangeIndex MultiIndex Categorical CategoricalDtype StringDtype Timestamp Timedelta DatetimeIndex Interval NA",
    "torch": "Tensor Size device dtype BFloat16Storage BoolStorage ByteStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage "
    "bfloat16 bool float16 float32 float64 int8 int16 int32 int64 uint8 tanh sigmoid relu",
    "torch.storage": "TypedStorage UntypedStorage",
    "torch._tensor": "_rebuild_from_type_v2",
    "fastai.data.load": "_FakeLoader _wif DataLoader",
    "fastai.torch_core": "TensorBase TensorCategory TensorImage TensorMultiCategory TensorMask trainable_params",
    "fastcore.foundation": "L",
    "fastcore.basics": "noop noops ignore_exceptions GetAttr fastuple",
    "fastcore.dispatch": "TypeDispatch",
    "fasttransform.transform": "Pipeline Transform",
}
"""Names of a module, in full."""
_CLASSES = (
    "sklearn", "imblearn", "category_encoders", "feature_engine", "xgboost", "lightgbm", "catboost", "statsmodels", "sktime",
    "scipy.sparse", "scipy.stats", "scipy.interpolate", "scipy.spatial", "scipy.linalg", "numpy.core", "numpy._core", "numpy.random", "numpy.ma", "numpy.dtypes",
    "numpy.polynomial", "pandas.core", "pandas._libs", "pandas.arrays", "pandas.tseries", "torch.nn", "torch.optim", "torch.distributions",
    "torchvision.models", "torchvision.transforms", "torchvision.ops", "fastai.callback", "fastai.data", "fastai.layers", "fastai.learner", "fastai.losses",
    "fastai.metrics", "fastai.optimizer", "fastai.tabular", "fastai.text", "fastai.vision", "fastai.collab", "fastcore.transform", "fasttransform", "PIL.Image",
)  # fmt: skip
"""Modules whose classes, and what puts them together again (``_rebuild_…``), are parts of models."""
_FUNCTIONS = (
    "sklearn", "imblearn", "scipy.special", "scipy.stats", "scipy.spatial.distance", "torch.nn.functional", "torch.nn.init", "math",
    "fastai.metrics", "fastai.losses", "fastai.layers", "fastai.optimizer", "fastai.data.transforms", "fastai.vision.augment", "fastai.torch_core",
)  # fmt: skip
"""Modules whose functions are parameters of models: scores, distances, losses."""
_NOT_INSIDE = frozenset(
    [
        "testing",
        "tests",
        "_testing",
        "conftest",
        "distutils",
        "f2py",
        "externals",
        "datasets",
        "computation",
        "memory",
        "io",
        "estimator_checks",
        "utils_testing",
        "external",
    ]
)
"""Parts of those modules that start programs, read files or evaluate text."""
_NEVER = frozenset(
    [
        "Popen",
        "CDLL",
        "PyDLL",
        "Process",
        "Pool",
        "Thread",
        "Timer",
        "Memory",
        "Client",
        "Listener",
        "eval",
        "exec",
        "compile",
        "system",
        "popen",
        "run",
        "call",
        "getattr",
        "setattr",
        "import_module",
    ]
) | (set(dir(types)) - {"MethodType", "SimpleNamespace"})
"""Names that libraries import from Python itself and so have, too: what starts, evaluates or is made of code."""
_CLASS = re.compile(r"_*[A-Z]\w*(?:\.[A-Z_]\w*)*")
_REBUILDS = re.compile(
    r"_{0,2}(?:pyx_unpickle|unpickle|(?:ma)?reconstruct|rebuild|new|randomstate|generator|bit_generator)\w*|scalar|new_block|[a-z]{3}_(?:matrix|array)"
)
_FUNCTION = re.compile(r"[a-z_][a-z0-9_]*")
CODE_BY_VALUE = "cloudpickle"
"""Whoever allows it allows code in a file, and so what Python makes functions and classes of: ..."""
_MADE_OF = (
    "types.CodeType", "types.CellType", "types.FunctionType", "types.GenericAlias", "types.MappingProxyType", "types.ModuleType",
    "builtins.classmethod", "builtins.property", "builtins.staticmethod", "builtins.super", "builtins.object.__new__",
    "builtins.BaseException", "builtins.Exception", "builtins.ValueError", "builtins.TypeError", "builtins.RuntimeError", "builtins.KeyError",
    "operator.getitem", "_operator.getitem", "abc", "collections.abc", "dataclasses", "enum", "functools", "typing",
)  # fmt: skip
"""... these names, each a module or a member of one."""
METHODS = ("sklearn", "fastai", "fastcore", "fasttransform", "torch.nn")
"""Modules whose objects may be asked for a method by its name."""


def unusual(names: Iterable[Name], allowed: Iterable[str] = ()) -> list[Name]:
    """The names that are neither usual nor ``allowed`` (``module.name``, or a module or package with all that is in it), sorted."""
    permitted = tuple(allowed)
    return sorted(n for n in set(names) if not _is_usual(modern(n)) and not is_allowed(n, permitted))


def is_allowed(name: Name, allowed: Iterable[str]) -> bool:
    told, entries = {str(name), str(modern(name))}, tuple(allowed)
    entries += _MADE_OF if CODE_BY_VALUE in entries else ()
    return any(entry == "*" or entry in told or any(t.startswith(f"{entry}.") for t in told) for entry in entries)


def is_by_value(name: Name) -> bool:
    """Whether it is what puts code together again that a pickle has by value."""
    return name.module.partition(".")[0] == CODE_BY_VALUE


def modern(name: Name) -> Name:
    """What Python 3 imports for a name of Python 2's, which pickles of protocol 2 and below have."""
    if (name.module, name.name) in _compat_pickle.NAME_MAPPING:
        return Name(*_compat_pickle.NAME_MAPPING[name.module, name.name])
    return Name(_compat_pickle.IMPORT_MAPPING.get(name.module, name.module), name.name)


def _is_usual(name: Name) -> bool:
    if name.name in _EXACT.get(name.module, "").split():
        return True
    if name.module == "numpy":
        return isinstance(getattr(np, name.name, None), np.ufunc) or _is_scalar(name.name)
    parts = name.name.split(".")
    if not _NOT_INSIDE.isdisjoint(name.module.split(".")) or any(
        p in _NEVER or p in sys.stdlib_module_names for p in parts
    ):
        return False
    if "__" in name.name.removeprefix("__pyx") and not _REBUILDS.fullmatch(name.name):
        return False  # members of Python itself, such as __globals__
    if name.module == "torch._utils":
        return _REBUILDS.fullmatch(name.name) is not None
    if _within(name.module, _CLASSES) and (_CLASS.fullmatch(name.name) or _REBUILDS.fullmatch(name.name)):
        return True
    if _within(name.module, METHODS) and len(parts) > 1 and _CLASS.fullmatch(parts[0]):
        return all(_FUNCTION.fullmatch(p) for p in parts[1:])
    return _within(name.module, _FUNCTIONS) and _FUNCTION.fullmatch(name.name) is not None


def _is_scalar(name: str) -> bool:
    kind = getattr(np, name, None)
    return isinstance(kind, type) and issubclass(kind, np.generic)


def _within(module: str, roots: Iterable[str]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in roots)
