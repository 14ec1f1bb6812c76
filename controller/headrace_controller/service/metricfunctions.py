"""Metrics of users' own: the Python file of a request is kept in the store by its content, where the job reads it."""

import contextlib
import hashlib
import keyword

from headrace_functions.errors import Conflict, InvalidInput, TooLarge
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

MAX_BYTES = 64 * 1024
FIELD = "metric_file"


def keep_function(objects: ObjectStore, source: str, name: str) -> str:
    """Keep the file; returns the ``DIGEST:NAME`` by which a job finds the function. The file is compiled here, and run in the job alone."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidInput(
            f"metric: {name!r} is not the name of a function", field="metric", expected="FILE.py:FUNCTION"
        )
    content = source.encode()
    if len(content) > MAX_BYTES:
        raise TooLarge(f"{FIELD}: {len(content):,} bytes", field=FIELD, expected=f"at most {MAX_BYTES:,} bytes")
    try:
        compile(content, f"{name}.py", "exec")
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(f"{FIELD}: it is not valid Python: {error}", field=FIELD) from error
    digest = hashlib.sha256(content).hexdigest()
    with contextlib.suppress(Conflict):  # the key is the content's digest: what is there is what we would write
        objects.create(layout.metric_function(digest), content)
    return f"{digest}:{name}"
