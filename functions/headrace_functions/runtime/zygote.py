"""``python -m headrace_functions.runtime.zygote --fd N --framework NAME``: a warm process that forks function servers.

It has the interpreter, the server and the framework's library imported, no threads, and answers one JSON a line on the
connected socket N; ARCHITECTURE.md has the messages. A child is a function server in a session of its own. When the
socket ends, the zygote ends and its children live on, but for a spare that waits for its settings; the kernel reaps them, so
nobody needs to wait for them.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from headrace_functions.runtime import threads

threads.cap()  # before numpy is imported below: its libraries read the variables when they load

import numpy as np  # noqa: E402

from headrace_functions.errors import HeadraceError, InvalidInput  # noqa: E402
from headrace_functions.runtime.frameworks import find  # noqa: E402
from headrace_functions.runtime.preforked import Spare  # noqa: E402
from headrace_functions.runtime.process import serve  # noqa: E402
from headrace_functions.runtime.settings import FunctionSettings  # noqa: E402

_LINE = 1 << 20  # bytes of one message at most
_TRIAL = 60  # seconds that importing may take
_TRIALS = 10  # modules that start threads and are left out, before the rest is
# Not SIGPIPE, which Python ignores: a caller that hangs up while it is answered would end the process.
_RESET = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Zygote:
    """Answers messages on a control socket. Works on one thread and blocks."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._spare: Spare | None = None

    def run(self) -> None:
        """Answer until the other side closes."""
        with self._control.makefile("rb") as lines:
            while line := lines.readline(_LINE):
                self._control.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
            match message.get("op"):
                case "ping":
                    return {}
                case "spare":
                    return {"pid": self._prepare()}
                case "import":
                    self._dismiss()  # it would lack what is imported now
                    return {"imported": import_safely(message.get("modules", []))}
                case "fork":
                    return {"pid": self._fork(FunctionSettings.from_document(message["settings"]))}
                case other:
                    raise InvalidInput(
                        f"op: {other!r} is not known", field="op", expected="fork, spare, import or ping"
                    )
        except HeadraceError as error:
            return {"error": error.message}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _fork(self, settings: FunctionSettings) -> int:
        spare, self._spare = self._spare, None
        if spare is not None and spare.order(json.dumps(settings.to_document()).encode()):
            return spare.pid
        _check_alone()
        pid = os.fork()
        if pid == 0:
            try:
                _leave(self._control)
                _become(settings)
            finally:
                os._exit(1)
        return pid

    def _prepare(self) -> int:
        """See that one child waits for the next fork; its pid."""
        if self._spare is None or not self._spare.waits:
            self._dismiss()
            _check_alone()
            self._spare = Spare(lambda: _leave(self._control), lambda orders: _become(_settings_of(orders)))
        return self._spare.pid

    def _dismiss(self) -> None:
        if self._spare is not None:
            self._spare.dismiss()
            self._spare = None


def _settings_of(orders: bytes) -> FunctionSettings:
    return FunctionSettings.from_document(json.loads(orders))


def _check_alone() -> None:
    running = threads.count()
    if running > 1:
        raise InvalidInput(f"a library started {running - 1} threads; a process with threads cannot be forked safely")


def _leave(control: socket.socket) -> None:
    """What a child does first: a session of its own, none of the zygote's socket and signals."""
    os.setsid()
    control.close()
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)


def _become(settings: FunctionSettings) -> None:
    """Become a function server; never returns."""
    code = 1
    try:
        _redirect(settings)
        random.seed()
        np.random.seed()  # user code that uses the old global state must not repeat its neighbours
        code = serve(settings)
    except BaseException:  # noqa: BLE001 - nothing above a forked child may handle its errors
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(settings: FunctionSettings) -> None:
    """Standard output and error to the log file, no input."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if settings.log is not None:
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        out = os.open(settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.close(out)


def import_safely(modules: list[str]) -> int:
    """Import the modules that neither fail nor start threads, as trials in children show; the number that are imported now."""
    wanted = [name for name in modules if name not in sys.modules]
    trusted = _trusted(wanted)
    for name in trusted:
        importlib.import_module(name)
    gc.freeze()  # children share these pages; a collection must not touch them
    return len(modules) - len(wanted) + len(trusted)


def _trusted(modules: list[str]) -> list[str]:
    """Those that a child imported one after the other without a thread. What starts one is left out and the rest tried again, a few times at most."""
    left = list(modules)
    imported: list[str] = []
    for _ in range(_TRIALS):
        imported, offender = _trial(left)
        if offender is None:
            return imported
        left = [name for name in left if name != offender]
    return imported  # those before the last offender


def _trial(modules: list[str]) -> tuple[list[str], str | None]:
    """Import modules in a child: those that did not fail, in order, and the one at which it ended, by starting a thread or worse."""
    if not modules:
        return [], None
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(_TRIAL)
            _tell_imports(modules, write_end)
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as told:  # noqa: PTH123 - a pipe has no path
        pairs = [line.split() for line in told.read().decode().splitlines()]
    last = pairs[-1] if pairs else ["+", ""]
    return [name for kind, name in pairs if kind == "+"], None if last[0] in "+x" else last[1]


def _tell_imports(modules: list[str], write_end: int) -> None:
    """Before each import ``?``, then ``+``, ``x`` where it failed, or ``-`` where it started a thread: then nothing more."""
    for name in modules:
        os.write(write_end, f"? {name}\n".encode())
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - compiled modules are known by short names, too, by which nobody finds them
            os.write(write_end, f"x {name}\n".encode())
            continue
        alone = threads.count() == 1
        os.write(write_end, f"{'+' if alone else '-'} {name}\n".encode())
        if not alone:
            return


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="headrace-zygote")
    parser.add_argument("--fd", type=int, required=True, help="the connected socket to take orders from")
    parser.add_argument("--framework", required=True, help="the framework to import beforehand")
    told: Mapping[str, Any] = vars(parser.parse_args(arguments))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the platform's to handle
    control = socket.socket(fileno=told["fd"])
    control.set_inheritable(False)
    find(told["framework"]).preload()
    gc.collect()
    gc.freeze()
    Zygote(control).run()


if __name__ == "__main__":
    main()
