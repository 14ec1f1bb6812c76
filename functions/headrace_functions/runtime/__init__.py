"""The function server: one process that loads a version, answers for it and records every exchange.

``settings`` is what a process is told, ``frameworks`` know how artifacts load (one file each), ``loading`` turns an
artifact into a checked function, ``batching`` decides when and where it runs, ``server`` speaks HTTP (``exchange`` is one request of it), ``process`` is the
life of the process, ``zygote`` forks warm ones, ``probe`` tries an artifact during a build. What runs here runs in the
user's environment: standard library, ``RUNTIME_REQUIREMENTS`` and what the user asked for, nothing else. Only the local
backend, the controller's builds and runtime images start it; nobody imports its inside but ``settings``, ``probe``, ``fetch`` and this
file. In a pod ``fetch`` brings the artifact, ``shipping`` takes the records away, and a start is somebody's waiting time: ``prefetch`` reads while
libraries are imported, ``lazy_imports`` puts off the import of what ``deferred_modules`` lists.
"""

RUNTIME_REQUIREMENTS: tuple[str, ...] = (
    "numpy>=1.26",
    "orjson>=3.10",
    "httptools>=0.6",
    "uvicorn>=0.34",
    "uvloop>=0.21",
)
"""What the environment of every function holds besides the user's requirements."""
