"""CPU time and memory of a process and all that it started, from the kernel's own counters in /proc.

CPU seconds are user and system time of the living ones and of those that ended and were waited for, so that work of
threads and of worker processes is counted alike. Memory is the proportional share (PSS) of anonymous and shared
pages: pages that a fork has in common with its parent count once. Pages of files, which the system may drop when it
needs room, are told apart.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a process and those it started, at one moment.

    Args:
        own_bytes: anonymous and shared pages.
        file_bytes: pages of files, mapped: libraries and memory maps.
        num_processes: how many there were.
    """

    own_bytes: int
    file_bytes: int
    num_processes: int


def is_known() -> bool:
    """Whether this system tells what is asked for here; elsewhere only the process itself is looked at."""
    return (_PROC / "self" / "smaps_rollup").exists()


def family(*pids: int) -> list[int]:
    """Processes and all that they started, directly or not, as far as they live."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parents.setdefault(int(_fields(int(entry.name))[1]), []).append(int(entry.name))
    found, new = list(pids), list(pids)
    while new:
        new = [child for one in new for child in parents.get(one, [])]
        found += new
    return found


def _fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def cpu_seconds(*pids: int) -> float:
    """User and system time of processes and all that they started, in seconds.

    Where there is no /proc, only of this process and of children that ended.
    """
    if not is_known():
        return sum(os.times()[:4])
    ticks = 0
    for one in family(*pids):
        with suppress(OSError, ValueError, IndexError):
            ticks += sum(map(int, _fields(one)[11:15]))  # utime stime cutime cstime, see proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Memory of a process and all that it started; zeros where the system does not tell."""
    own = file = number = 0
    for one in family(pid) if is_known() else []:
        with suppress(OSError):
            text = (_PROC / str(one) / "smaps_rollup").read_text()
            sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
            own += sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0)
            file += sizes.get("Pss_File", 0)
            number += 1
    return Memory(own_bytes=own, file_bytes=file, num_processes=number)


def peak_bytes() -> int:
    """Most resident memory of this process so far, files included, as the kernel counts it (`ru_maxrss`)."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(largest) * (1 if os.uname().sysname == "Darwin" else 1024)


def give_back() -> None:
    """Let the allocator give free memory back to the system, where it can: what is resident then is held."""
    with suppress(OSError, AttributeError):  # glibc alone has it, see malloc_trim(3)
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Let the peak of `resident` count from now on, where the system can."""
    with suppress(OSError):
        (_PROC / "self" / "clear_refs").write_text("5")  # see proc(5)


def resident() -> tuple[int, int] | None:
    """Resident memory of this process now, and the most since `reset_peak`; None where the system does not tell."""
    try:
        text = (_PROC / "self" / "status").read_text()
    except OSError:
        return None
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    return sizes["VmRSS"], sizes["VmHWM"]
