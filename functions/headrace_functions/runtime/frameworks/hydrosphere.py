"""Files of Hydrosphere's Python runtime, which open what lies beside them below ``/model/files``.

That folder is not there: the files are read as they are, and texts in their code that begin with it mean the artifact's folder instead.
"""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FILES = "/model/files"


def imported(name: str, path: Path, artifact: Path) -> ModuleType:
    """The file at ``path`` as the module ``name``. What its code raises is let through, ``SyntaxError`` too."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    tree = _InArtifact(artifact).visit(ast.parse(path.read_bytes(), str(path)))
    exec(compile(tree, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's own code, as an import runs it
    return module


class _InArtifact(ast.NodeTransformer):
    def __init__(self, artifact: Path) -> None:
        self._artifact = artifact.resolve()

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        value = node.value
        if not isinstance(value, str) or not (value == FILES or value.startswith(f"{FILES}/")):
            return node
        return ast.copy_location(ast.Constant(self._place(value.removeprefix(FILES))), node)

    def _place(self, rest: str) -> str:
        """The file at the same place of the artifact; else the one that is alone to end so, for a payload of ``model/model.joblib``
        has lost or kept its folder by where it was applied from."""
        inside = rest.strip("/")
        if inside and not (self._artifact / inside).exists():
            found = [p for p in self._artifact.rglob(Path(inside).name) if p.as_posix().endswith(f"/{inside}")]
            if len(found) == 1:
                return str(found[0])
        return f"{self._artifact}{rest}"
