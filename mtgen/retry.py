"""Try a read again after an error that may pass, with pauses that double; never after one that stays."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from mtgen.config import OnError
from mtgen.errors import AlignmentError

Result = TypeVar("Result")

TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "EINTR", "EAGAIN", "ETIMEDOUT", "EREMOTEIO"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)
)
"""Codes of the operating system after which the same call may succeed: disks and networks that stumble."""

_MOST_CAUSES = 10


def may_pass(error: BaseException) -> bool:
    """Whether the same read may succeed a moment later. Pure.

    Looks through the chain of causes for a code in `TRANSIENT` or an HTTP status of 500 to 599 (as `status`, `code`
    or `response.status_code`, which is where HTTP clients keep it).

    Example:
        >>> may_pass(OSError(errno.ESTALE, "stale")), may_pass(FileNotFoundError(errno.ENOENT, "gone"))
        (True, False)
    """
    link: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if link is None or isinstance(link, AlignmentError):
            return False
        if isinstance(link, OSError) and link.errno in TRANSIENT:
            return True
        if any(isinstance(status, int) and 500 <= status <= 599 for status in _statuses(link)):
            return True
        link = link.__cause__ or link.__context__
    return False


def _statuses(error: BaseException) -> list[object]:
    response = getattr(error, "response", None)
    return [getattr(error, "status", None), getattr(error, "code", None), getattr(response, "status_code", None)]


def retrying(read: Callable[[], Result], on_error: OnError, count: Callable[[], None]) -> Result:
    """What `read` returns, after as many tries as `on_error` grants.

    Any thread; pauses in the caller's thread, for `retry_seconds * (2**num_retries - 1)` in all, at most an
    hour.

    Args:
        read: may be called several times.
        on_error: number of retries and first pause.
        count: called before each retry.

    Raises:
        What `read` raised last.
    """
    for attempt in range(on_error.num_retries):
        try:
            return read()
        except Exception as error:
            if not may_pass(error):
                raise
        count()
        if on_error.retry_seconds:
            time.sleep(on_error.retry_seconds * 2**attempt)
    return read()
