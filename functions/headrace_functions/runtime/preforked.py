"""A child that is forked beforehand and waits for its orders, so that a start does not wait for the fork.

Forking a process of 120 MB copies its page tables, which takes longer than loading a small model. A spare shares its parent's
memory until it writes to it.
"""

import os
import socket
import traceback
from collections.abc import Callable


class Spare:
    """One waiting child of this process. It ends when it is dismissed, and when this process ends."""

    def __init__(self, leave: Callable[[], None], become: Callable[[bytes], None]) -> None:
        """Fork now. The child calls ``leave`` at once, to let go of what is its parent's, and ``become`` with its orders."""
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()  # else it would wait for ever: an end that is open somewhere is no end
            _wait(theirs, leave, become)
        theirs.close()
        self._orders = ours

    @property
    def waits(self) -> bool:
        """Whether it is still there."""
        try:
            return self._orders.recv(1, socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def order(self, orders: bytes) -> bool:
        """Let it become what it was forked for; False if it is gone."""
        with self._orders:
            try:
                self._orders.sendall(orders)
            except OSError:
                return False
        return True

    def dismiss(self) -> None:
        self._orders.close()


def _wait(orders: socket.socket, leave: Callable[[], None], become: Callable[[bytes], None]) -> None:
    """The child's life; never returns."""
    try:
        leave()
        with orders, orders.makefile("rb") as told:
            wanted = told.read()
        if wanted:
            become(wanted)
    except BaseException:  # noqa: BLE001 - nothing above a forked child may handle its errors
        traceback.print_exc()
    finally:
        os._exit(1)
