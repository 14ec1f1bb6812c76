"""What the controller and its build Jobs agree on: variables, exit codes, limits."""

QUESTION = "HEADRACE_QUESTION"
"""Key of the document with what is asked."""
RESULT = "HEADRACE_RESULT"
"""Key for the result."""
ARCHIVE = "HEADRACE_LAYER_ARCHIVE"
"""Key for the archive of a layer."""
IMAGE_LOCK = "HEADRACE_IMAGE_LOCK"
"""SHA-256 of the lock that the image must be made from; not set for an image that the user named."""
UV = "HEADRACE_UV"
"""Path of uv, which the builder image puts beside the runtime image."""

REFUSED = 3
"""Exit code: the last line on standard output is a JSON object of ``message`` and where known ``field``, ``expected``, ``got``, ``hint``."""
KILLED = 137
"""Exit code: the child was killed by signal 9, as one is that ran out of memory."""
LATE = 124
"""Exit code: the child was not done in time."""
ENDED = 4
"""Exit code: the child ended without a result; its output says why."""

MAX_LAYER = 4 * 1024**3
"""Bytes of a layer's files."""
MAX_LOCK = 1024 * 1024
"""Bytes of a layer's lock and of the list of its packages, each."""
LAYER_TIMEOUT = 1800.0
"""Seconds that uv may take to download and install."""
