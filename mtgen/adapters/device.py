"""The device of the backend that Keras runs on: arrays are filled there block by block, and rows taken out of them.

Keras hands arrays of the backend on as they are, on jax and on torch (`get_jax_iterator` and `convert_to_tensor` of
keras/src), so what is taken on the device stays there. On jax a large array must be an argument of what is compiled:
one that a function closes over would become a constant of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.held import Device, Sink
from mtgen.placements import DeviceMemory
from mtgen.spec import Spec


def find() -> Device:
    """The device of the backend that KERAS_BACKEND names.

    Raises:
        PlanError: values cannot be held on a device of this backend.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        return JaxDevice()
    if backend == "torch":
        return TorchDevice()
    raise PlanError(
        f'placement="device" is for the jax and torch backends, and Keras runs on {backend}, whose datasets pass '
        'through the processor. Write placement="ram": the values are read once and held in memory'
    )


class JaxDevice:
    """The device on which jax puts arrays. One thread at a time."""

    def __init__(self) -> None:
        import jax

        # Compiled once for each shape of values and places.
        self._update = jax.jit(
            lambda values, block, start: jax.lax.dynamic_update_slice_in_dim(values, block, start, 0), donate_argnums=0
        )
        self._take = jax.jit(lambda values, places: jax.numpy.take(values, places, axis=0, mode="clip"))

    def memory(self) -> DeviceMemory:
        """See `mtgen.held.Device.memory`."""
        import jax

        (device,) = jax.numpy.zeros(()).devices()
        known = device.memory_stats() or {}
        if "bytes_limit" not in known:
            return machine_memory(str(device))
        total = int(known["bytes_limit"])
        return DeviceMemory(name=str(device), total_bytes=total, free_bytes=total - int(known.get("bytes_in_use", 0)))

    def row_bytes(self, spec: Spec) -> int:
        """See `mtgen.held.Device.row_bytes`."""
        return int(self._zeros(1, spec).nbytes)

    def _zeros(self, num_rows: int, spec: Spec) -> Any:
        import jax

        dtype = jax.device_put(np.zeros(0, spec.dtype)).dtype
        return jax.numpy.zeros((num_rows, *spec.shape), dtype)

    def sink(self, name: str, num_rows: int, spec: Spec) -> Sink:
        """See `mtgen.held.Device.sink`."""
        from mtgen.adapters.keras import narrows

        return _JaxSink(self._zeros(num_rows, spec), self._update, name if narrows() else None)

    def take(self, values: Any, places: np.ndarray) -> Any:
        """See `mtgen.held.Device.take`."""
        import jax

        return self._take(values, jax.device_put(places))


class _JaxSink:
    """An array that each block is written into, where it is: the update owns what it was given."""

    def __init__(self, values: Any, update: Any, narrow_name: str | None) -> None:
        self._values, self._update, self._narrow_name = values, update, narrow_name

    def write(self, start: int, values: np.ndarray) -> None:
        import jax

        if self._narrow_name is not None:
            _check_narrow(self._narrow_name, values)
        self._values = self._update(self._values, jax.device_put(values), jax.device_put(np.int32(start)))

    def finish(self) -> Any:
        return self._values.block_until_ready()


def _check_narrow(name: str, values: np.ndarray) -> None:
    from mtgen.adapters.structure import check_narrow

    check_narrow({name: values})


class TorchDevice:
    """The device on which Keras puts tensors of torch. One thread at a time."""

    def memory(self) -> DeviceMemory:
        """See `mtgen.held.Device.memory`."""
        import torch

        device = self._zeros(0, Spec(shape=(), dtype=np.dtype("float32"))).device
        if device.type != "cuda":
            return machine_memory(str(device))
        free, total = torch.cuda.mem_get_info(device)
        # Blocks that torch keeps for the next tensor are free for one.
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return DeviceMemory(name=str(device), total_bytes=int(total), free_bytes=int(free))

    def row_bytes(self, spec: Spec) -> int:
        """See `mtgen.held.Device.row_bytes`."""
        return int(self._zeros(1, spec).nbytes)

    def _zeros(self, num_rows: int, spec: Spec) -> Any:
        import keras
        import torch

        sample = keras.ops.convert_to_tensor(np.zeros(0, spec.dtype))
        return torch.zeros((num_rows, *spec.shape), dtype=sample.dtype, device=sample.device)

    def sink(self, name: str, num_rows: int, spec: Spec) -> Sink:
        """See `mtgen.held.Device.sink`."""
        return _TorchSink(self._zeros(num_rows, spec))

    def take(self, values: Any, places: np.ndarray) -> Any:
        """See `mtgen.held.Device.take`."""
        import torch

        return values.index_select(0, torch.from_numpy(places).to(values.device))


class _TorchSink:
    """A tensor that each block is copied into."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def write(self, start: int, values: np.ndarray) -> None:
        import keras

        self._values[start : start + len(values)] = keras.ops.convert_to_tensor(values)

    def finish(self) -> Any:
        return self._values


def machine_memory(name: str) -> DeviceMemory:
    """Memory of the machine that this process may still take, where it is the device: all of it counts as the total,
    because the rest is others' already.

    Args:
        name: of the device.
    """
    free = _meminfo().get("MemAvailable")
    if free is None:
        import os

        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = min(free, _group_free(Path("/sys/fs/cgroup"), free))
    return DeviceMemory(name=name, total_bytes=free, free_bytes=free)


def _meminfo() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return {}
    return {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}


def _group_free(folder: Path, unknown: int) -> int:
    """What a container leaves: its limit less what is used, without the cache of files, which goes when it must."""
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return unknown
    return unknown if limit == "max" else max(0, int(limit) - int(used) + int(stat.get("inactive_file", 0)))
