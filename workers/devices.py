"""The device that samples, the models that are in its memory, and what to do when it is full."""

from __future__ import annotations

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import psutil  # type: ignore[import-untyped,unused-ignore]
import torch
from numpy.typing import NDArray

from mfgviz.errors import InvalidSettingError, OutOfMemoryError
from workers.families.loading import OUT_OF_MEMORY_WORDS
from workers.families.protocol import (
    Family,
    Image,
    LoadedModel,
    Maps,
    ModelSpec,
    OnStep,
    SampleBatch,
    StepInfo,
    get_family,
)
from workers.families.weights import stored_bytes

log = logging.getLogger(__name__)

# Of what is free when a model is loaded, this share is left for activations and for everybody else.
RESERVED_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors live, in which precision, and how much memory there is."""

    torch_device: torch.device
    dtype: torch.dtype
    name: str
    total_memory_bytes: int

    def free_memory_bytes(self) -> int:
        """What could be allocated now."""
        if self.torch_device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.torch_device)
            # torch keeps freed blocks for itself: they are free to us, though not to the driver.
            kept = torch.cuda.memory_reserved(self.torch_device) - torch.cuda.memory_allocated(
                self.torch_device
            )
            return int(free + kept)
        if self.torch_device.type == "mps":
            return int(self.total_memory_bytes - torch.mps.driver_allocated_memory())
        return int(psutil.virtual_memory().available)

    def release_unused(self) -> None:
        """Give memory that torch keeps for later back to the system."""
        gc.collect()
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.torch_device.type == "mps":
            torch.mps.empty_cache()


def choose_device(setting: str) -> Device:
    """The device that `setting` means: auto (cuda, else mps, else cpu), cpu, cuda, cuda:N or mps.

    Raises:
        InvalidSettingError: there is no such device on this machine, or the words mean none.
    """
    if setting == "auto":
        setting = "cuda:0" if torch.cuda.is_available() else "mps" if _mps_works() else "cpu"
    kind, _, number = setting.partition(":")
    if kind == "cpu" and not number:
        return Device(torch.device("cpu"), torch.float32, "CPU", psutil.virtual_memory().total)
    if kind == "mps" and not number:
        return _mps_device()
    if kind == "cuda" and (number.isdecimal() or setting == "cuda"):
        return _cuda_device(int(number or 0))
    raise InvalidSettingError(
        f"{setting!r} is not a device.", remedy="Set MFGVIZ_DEVICE to auto, cpu, cuda:N or mps."
    )


def _mps_works() -> bool:
    return torch.backends.mps.is_built() and torch.backends.mps.is_available()


def _mps_device() -> Device:
    if not _mps_works():
        raise InvalidSettingError(
            "The device mps is not there.",
            remedy="It needs a Mac with Apple silicon; set MFGVIZ_DEVICE=auto.",
        )
    return Device(torch.device("mps"), torch.float16, "Apple GPU", torch.mps.recommended_max_memory())


def _cuda_device(index: int) -> Device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        there = f"There are {count} CUDA devices here" if count else "There is no CUDA device here"
        raise InvalidSettingError(
            f"The device cuda:{index} is not there. {there}.",
            remedy="Set MFGVIZ_DEVICE=auto, or check the driver and that torch was installed with CUDA.",
        )
    facts = torch.cuda.get_device_properties(index)
    # bfloat16 has float32's range, so that nothing overflows to black; before Ampere it is emulated and slow.
    dtype = torch.bfloat16 if facts.major >= 8 else torch.float16
    return Device(torch.device("cuda", index), dtype, facts.name, facts.total_memory)


# -- models in memory -------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Resident:
    model: LoadedModel
    busy: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class ModelPool:
    """The loaded models of one device, the least recently used evicted when another needs the room.

    `budget_bytes` bounds what all weights together take; by default it is what was free when the
    pool was made, less a reserve for activations. A single model larger than that is loaded all the
    same, alone: whether it fits is for the device to say.
    """

    def __init__(
        self,
        device: Device,
        budget_bytes: int | None = None,
        find_family: Callable[[str], Family] = get_family,
    ) -> None:
        self.device = device
        free = device.free_memory_bytes()
        self.budget_bytes = int(free * (1 - RESERVED_SHARE)) if budget_bytes is None else budget_bytes
        self._find_family = find_family
        self._residents: OrderedDict[ModelSpec, _Resident] = OrderedDict()
        self._changing = threading.Lock()

    @contextmanager
    def use(
        self, spec: ModelSpec, check: Callable[[ModelSpec], None] = lambda _: None
    ) -> Iterator[LoadedModel]:
        """The loaded model, for this thread alone until the block is left. Where `check` raises after it was
        loaded, it is unloaded, so that nothing that did not pass stays for the next."""
        resident = self._enter(spec)
        try:
            with resident.busy:
                try:
                    check(spec)
                except BaseException:
                    with self._changing:
                        self._residents.pop(spec, None)
                    raise
                yield resident.model
        finally:
            with self._changing:
                resident.users -= 1

    def resident(self) -> list[ModelSpec]:
        """What is loaded, the most recently used last."""
        with self._changing:
            return list(self._residents)

    def memory_bytes(self) -> int:
        """What the loaded models' weights take."""
        return sum(one.model.memory_bytes for one in list(self._residents.values()))

    def evict_unused(self) -> int:
        """Unload every model that no thread uses; how many there were."""
        with self._changing:
            return self._evict(lambda: True)

    def _enter(self, spec: ModelSpec) -> _Resident:
        # Loading happens under the lock: two threads that ask for one model must not load it twice.
        with self._changing:
            resident = self._residents.get(spec) or self._load(spec)
            self._residents.move_to_end(spec)
            resident.users += 1
            return resident

    def _load(self, spec: ModelSpec) -> _Resident:
        family = self._find_family(spec.family)
        needed = stored_bytes(spec, torch.finfo(self.device.dtype).bits // 8)
        self._evict(lambda: self.memory_bytes() + needed > self.budget_bytes)
        try:
            model = family.load(spec, self.device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not self._evict(lambda: True):
                raise _as_ours(
                    error, f"The model {spec.name!r} does not fit on {self.device.name}."
                ) from error
            model = family.load(spec, self.device)
        self._residents[spec] = resident = _Resident(model, users=1)
        self._evict(lambda: self.memory_bytes() > self.budget_bytes)
        resident.users = 0
        return resident

    def _evict(self, wanted: Callable[[], bool]) -> int:
        evicted = 0
        for spec, one in list(self._residents.items()):
            if one.users == 0 and wanted():
                log.info("unloading %s: %d bytes", spec.name, one.model.memory_bytes)
                del self._residents[spec]
                one.model.unload()
                evicted += 1
        if evicted:
            self.device.release_unused()
        return evicted


# -- when memory runs out ------------------------------------------------------------------------------------
def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


def _as_ours(error: Exception, message: str) -> Exception:
    return OutOfMemoryError(message, remedy="Use a smaller model.") if is_out_of_memory(error) else error


def sample_within_memory(model: LoadedModel, batch: SampleBatch, on_step: OnStep) -> list[Image]:
    """Sample the batch, in as many parts as memory asks for.

    When memory runs out the part is halved; when a single image does not fit the VAE decodes in
    tiles; when that does not help either, smaller sizes are tried for one step to name one that fits.
    The images do not depend on how the batch was cut: each has its own generator.

    Raises:
        OutOfMemoryError: not even one image fits; the message names the size that would.
    """
    images: list[Image] = []
    progress = _Progress(on_step, len(batch))
    size, tiled = len(batch), False
    try:
        while len(images) < len(batch):
            part = batch.part(len(images), len(images) + size)
            sampled = _try_sample(model, part, progress)
            if sampled is not None:
                images += sampled
                progress.finish_part(len(part))
            elif size > 1:
                size = (size + 1) // 2
                progress.part_size = size
                log.warning("out of memory: sampling %d images at a time", size)
            elif not tiled and model.tile_vae(enabled=True):
                tiled = True
                log.warning("out of memory: decoding in tiles")
            else:
                raise _does_not_fit(model, part, progress)
    finally:
        if tiled:
            model.tile_vae(enabled=False)
    return images


class _Progress:
    """Steps counted over all parts of a batch, so that the caller sees one bar that only grows."""

    def __init__(self, on_step: OnStep, count: int) -> None:
        self.part_size = count
        self._on_step = on_step
        self._left = count
        self._done_steps = 0
        self._last = StepInfo(0, 0)

    def __call__(self, info: StepInfo) -> None:
        parts = -(-self._left // self.part_size)
        self._last = StepInfo(
            self._done_steps + info.step, self._done_steps + parts * info.total, info.preview
        )
        self._on_step(self._last)

    def finish_part(self, count: int) -> None:
        self._left -= count
        self._done_steps = self._last.step

    def alive(self, _: StepInfo) -> None:
        """Tell the caller again where we are: it renews the lease, and may cancel."""
        self._on_step(self._last)


def _try_sample(model: LoadedModel, batch: SampleBatch, on_step: OnStep) -> list[Image] | None:
    """The images, or None when memory ran out. The error's traceback holds tensors: it ends here."""
    try:
        return model.sample(batch, on_step)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _does_not_fit(model: LoadedModel, part: SampleBatch, progress: _Progress) -> OutOfMemoryError:
    """The error for an image that does not fit, with the largest of a few smaller sizes that does."""
    message = f"{part.width}x{part.height} px does not fit in the memory of the device"
    multiple = model.capabilities.multiple_of_px
    for scale in (0.875, 0.75, 0.625, 0.5, 0.375, 0.25):
        width, height = (
            max(int(side * scale / multiple), 1) * multiple for side in (part.width, part.height)
        )
        if _try_sample(model, _probe(part, width, height), progress.alive) is not None:
            return OutOfMemoryError(
                f"{message}; {width}x{height} px does.",
                remedy=f"Submit with --size {width}x{height}, or less.",
            )
    return OutOfMemoryError(
        f"{message}, nor does a quarter of it.", remedy="Use a smaller model or another device."
    )


def _probe(part: SampleBatch, width: int, height: int) -> SampleBatch:
    """One step of the same image at another size."""
    rows = np.arange(height) * part.height // height
    columns = np.arange(width) * part.width // width
    control = None if part.control is None else [_Resampled(maps, rows, columns) for maps in part.control]
    images = None if part.images is None else [image[rows][:, columns] for image in part.images]
    return replace(
        part, width=width, height=height, num_inference_steps=1, strength=1.0, control=control, images=images
    )


class _Resampled:
    """Control maps at another size, nearest neighbour: good enough to measure memory with."""

    def __init__(self, maps: Maps, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
        self.depth, self.normal, self.edges, self.mask, self.clay, self.occlusion = (
            one[rows][:, columns]
            for one in (maps.depth, maps.normal, maps.edges, maps.mask, maps.clay, maps.occlusion)
        )
