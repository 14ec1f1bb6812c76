"""Running a plan: a Dask graph, in this process or as Ray tasks. The only user of dask and of ray.

Ray's own Dask scheduler needs pandas, which nothing else here does; the few lines below do the same for the plain graphs
we build: every key becomes a task whose arguments are the results of other keys.
"""

import contextlib
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from headrace_functions.errors import NotReady

Graph = Mapping[str, tuple[Any, ...]]
"""Dask's plain form: key -> (function, argument, …), where an argument that is a key stands for its result."""
Done = Callable[[str], None]
"""Called with each key that is done, for people who wait."""


SMALL = 128 * 1024 * 1024
"""Bytes of files up to which one process is done before a Ray has started, which takes 7 s and more."""
STARTS = 3
"""How often a Ray on this machine is started until it is there in time."""
_TOO_LATE = "timed out during startup"

log = logging.getLogger("headrace.jobs")


@runtime_checkable
class Sized(Protocol):
    """An argument of a task that is a file."""

    size: int


class Executor(Protocol):
    """Runs a graph and returns the result of one key. The result does not depend on who runs it."""

    def run(self, graph: Graph, key: str, done: Done) -> Any: ...


class Synchronous:
    """Dask's synchronous scheduler: everything in this process, one task after the other."""

    def run(self, graph: Graph, key: str, done: Done) -> Any:
        import dask.local  # only jobs with a plan need it; an explanation shall not wait for its import

        return dask.local.get_sync({name: _observed(name, task, done) for name, task in graph.items()}, key)


class Ray:
    """Tasks of a running Ray. A worker that dies is replaced and its task done again."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def run(self, graph: Graph, key: str, done: Done) -> Any:
        from dask.core import toposort  # see Synchronous

        ray = self._ray
        call = ray.remote(max_retries=3, num_cpus=1)(_call)
        shared: dict[int, Any] = {}
        references: dict[str, Any] = {}
        for name in toposort(dict(graph)):
            function, *arguments = graph[name]
            references[name] = call.remote(function, *(self._place(a, references, shared) for a in arguments))
        waiting = {reference: name for name, reference in references.items()}
        result = references[key]
        references.clear()  # a part that is merged may go: Ray keeps what is still an argument
        shared.clear()
        while waiting:
            finished, _ = ray.wait(list(waiting), num_returns=1, fetch_local=False)
            for reference in finished:
                done(waiting.pop(reference))
        return ray.get(result)

    def _place(self, argument: Any, references: Mapping[str, Any], shared: dict[int, Any]) -> Any:
        """Results by reference; anything else is put into the object store once, however many tasks take it."""
        if isinstance(argument, str):
            return references.get(argument, argument)
        if id(argument) not in shared:
            shared[id(argument)] = self._ray.put(argument)
        return shared[id(argument)]


class AsNeeded:
    """This process while the files of a plan are small; else a Ray that starts when it is first needed, and stays to the end."""

    def __init__(self, start: Callable[[], Executor], small: Executor | None = None) -> None:
        self._start = start
        self._small: Executor = small or Synchronous()
        self._large: Executor | None = None

    def run(self, graph: Graph, key: str, done: Done) -> Any:
        size = size_of(graph)
        if size <= SMALL and self._large is None:
            log.info("execution: one process, %.1f MB of files", size / 1e6)
            return self._small.run(graph, key, done)
        if self._large is None:
            log.info("execution: Ray on this machine, %.1f MB of files", size / 1e6)
            self._large = self._start()
        return self._large.run(graph, key, done)


def size_of(graph: Graph) -> int:
    """Bytes of the files that the tasks of a graph read, as far as they are known."""
    firsts = (task[1] for task in graph.values() if len(task) > 1)
    return sum(first.size for first in firsts if isinstance(first, Sized) and isinstance(first.size, int))


@contextmanager
def executor(address: str) -> Iterator[Executor]:
    """Who runs plans. ``Ray`` that was started here is stopped afterwards.

    ``sync``: this process. ``local``: a Ray on this machine. ``auto``: this process for small plans, else a Ray on this machine. Anything else is the
    address of a Ray cluster.
    """
    if address == "sync":
        yield Synchronous()
        return
    with contextlib.ExitStack() as stack:

        def start() -> Executor:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hr-", ignore_cleanup_errors=True))
            ray = _started("local" if address == "auto" else address, folder)
            stack.callback(ray.shutdown)
            return Ray(ray)

        yield AsNeeded(start) if address == "auto" else start()


def _started(address: str, folder: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address == "local":
        _keep_to_ourselves()
    import ray  # takes a second and reads the variables above when it is imported

    if address == "local":
        start_here(ray, folder)
    else:
        ray.init(address=address, logging_level="warning", log_to_driver=False)
    return ray


def start_here(ray: Any, folder: str) -> None:
    """Start a Ray of this machine's own; ``NotReady`` where the machine is too busy for that.

    Ray gives itself 30 s, which cannot be changed, and a machine that others keep busy takes longer now and then.
    """
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                num_cpus=os.cpu_count(),
                include_dashboard=False,
                logging_level="warning",
                log_to_driver=False,
                _temp_dir=folder,  # short: the paths of Unix sockets have 107 bytes
                _node_ip_address="127.0.0.1",
            )
        except Exception as error:
            if _TOO_LATE not in str(error):  # Ray's words are all there is to tell by: it raises no class of its own
                raise
            ray.shutdown()
            if not left:
                raise NotReady(
                    f"Ray did not start on this machine, {STARTS} times in 30 s", hint="the machine is busy; try again"
                ) from error
            log.warning("Ray did not start in 30 s: once more")
        else:
            return


def _keep_to_ourselves() -> None:
    """Whoever reaches a Ray runs code in it, so ours listens on the loopback device alone and asks for a secret.

    The name of the second variable speaks of other systems, but it is what makes Ray take 127.0.0.1 for its own address;
    ``_node_ip_address`` alone is turned into the machine's address, and then every port is open to the network.
    """
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _observed(name: str, task: tuple[Any, ...], done: Done) -> tuple[Any, ...]:
    function, *arguments = task

    def run(*values: Any) -> Any:
        result = function(*values)
        done(name)
        return result

    return (run, *arguments)
