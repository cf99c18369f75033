"""Who takes part in which suite, in which class, and what it needs. Nothing is imported or opened here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mtgen import recipe as recipe_names
from mtgen.bench.drawing.tasks import TASKS
from mtgen.bench.settings import SUITES
from mtgen.errors import PlanError
from mtgen.recipe import NAMES, Recipe, named_recipe
from mtgen.settings import shown

Family = Literal["mtgen", "other", "floor"]

CLASSES: Mapping[str, str] = {
    "features": "feature rows only, exact shuffle",
    "antialiased": "JPEG resized with a filter that widens when it shrinks; of mtgen, only clean decodes fully",
    "no antialias": "JPEG resized with a filter that does not widen; some decode at a scale before",
    "keras pixels": "what keras.utils.load_img gives by default (nearest), as float32 from -1 to 1",
    "packed": "pictures decoded beforehand, uint8",
    "overhead": "pictures alone, and pictures with features",
    **{name: task.told(1) for name, task in TASKS.items()},
}
"""Contenders of one class deliver the same kind of pixels, or do the same task; ratios are within a class."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One line of a table.

    Immutable.

    Args:
        name: unique within its class.
        group: its class, of `CLASSES`.
        module: file of `mtgen.bench.contenders`, or the full name of a module from elsewhere.
        function: what opens it, see `mtgen.bench.work`.
        options: arguments of that function.
        family: whose it is; floors are no loaders.
        needs: packages to import, besides mtgen's own.
        places: parts of the data that it reads.
        floor: name of the floor that its efficiency is the share of.
        reference: ratios of its class are to this one, if there is one; else to the best one of others.
        ordered: it does not shuffle.
        recipe: the pixel recipe that it follows.
        why_not: why it is not run at all; it stands in the table with this reason.
    """

    name: str
    group: str
    module: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)
    family: Family = "other"
    needs: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    floor: str | None = None
    reference: bool = False
    ordered: bool = False
    recipe: str | None = None
    why_not: str | None = None

    @property
    def full_module(self) -> str:
        """The name to import."""
        return self.module if "." in self.module else f"mtgen.bench.contenders.{self.module}"


def contenders(suite: str) -> list[Contender]:
    """The contenders of a suite, in the order of its table.

    Pure.

    Raises:
        PlanError: no suite of that name.

    Example:
        >>> [one.name for one in contenders("features") if one.reference]
        ['bcolz.open(path)[rows]']
    """
    from mtgen.bench.drawing.takers import takers

    makers = {
        "features": _features,
        "pictures": _pictures,
        "packed": _packed,
        "overhead": _overhead,
        "sampling": takers,
    }
    if suite not in makers:
        raise PlanError(f"there are the suites {', '.join(SUITES)}, received {shown(suite)}")
    return list(makers[suite]())


TAKE = "floor: np.take into reused buffers"
PLANNED_BCOLZ = "floor: every bcolz chunk once, in order"
PLANNED_PACKED = "floor: every packed block once, in order"
PILLOW = "floor: bare Pillow in a thread pool, pictures alone"
COPY = "floor: np.take of pictures and features, threads"


def _bare(recipe: str) -> str:
    return f"floor: bare decode, recipe {recipe}, pictures alone"


def _features() -> Iterator[Contender]:
    def one(name: str, module: str, function: str, **more: Any) -> Contender:
        return Contender(name=name, group="features", module=module, function=function, **{"floor": TAKE, **more})

    npy = ("features.npy",)
    yield one(
        "bcolz.open(path)[rows]",
        "arrays",
        "bcolz_loop",
        needs=("bcolz",),
        places=("features.bcolz",),
        reference=True,
        floor=PLANNED_BCOLZ,
    )
    yield one(
        "2017 generator, one lock",
        "ancestor",
        "locked_generator",
        needs=("bcolz",),
        places=("features.bcolz",),
        floor=PLANNED_BCOLZ,
    )
    yield one("zarr-python oindex", "arrays", "zarr_python", needs=("zarr",), places=("features.zarr",))
    yield one("TensorStore bare", "arrays", "tensorstore_bare", places=("features.zarr",))
    yield one("h5py", "arrays", "h5py_rows", needs=("h5py",), places=("features.hdf5",))
    yield one("blosc2 NDArray", "arrays", "blosc2_rows", needs=("blosc2",), places=("features.blosc2",))
    yield one("Lance take", "arrays", "lance_take", needs=("lance", "pyarrow"), places=("features.lance",))
    yield one("numpy memmap", "arrays", "numpy_memmap", places=npy)
    yield one("Keras PyDataset, threads, .npy", "keras_pydataset", "pydataset", places=npy)
    yield one("torch DataLoader, .npy", "torch_dataloader", "dataloader", needs=("torch",), places=npy)
    yield one("Grain, threads, .npy", "grain_dataset", "map_dataset", needs=("grain",), places=npy)
    yield one("tf.data, matrix in memory", "tf_data", "dataset", needs=("tensorflow",), places=npy)
    for name, place, floor in (
        ("mtgen, bcolz folder", "features.bcolz", PLANNED_BCOLZ),
        ("mtgen, packed", "features.packed", PLANNED_PACKED),
        ("mtgen, packed without a codec", "features.plain", TAKE),
        ("mtgen, .npy", "features.npy", TAKE),
    ):
        yield one(name, "own", "loader", options={"features": place}, family="mtgen", places=(place,), floor=floor)
    yield one(TAKE, "floors", "take_rows", family="floor", places=npy, floor=None)
    for name, place in ((PLANNED_BCOLZ, "features.bcolz"), (PLANNED_PACKED, "features.packed")):
        yield one(
            name,
            "floors",
            "planned_reads",
            options={"features": place},
            family="floor",
            places=(place,),
            floor=None,
            ordered=True,
        )


def _decoding(group: str) -> Iterator[Contender]:
    """Loaders of others that decode, with features from a memory map."""

    def one(name: str, module: str, function: str, needs: tuple[str, ...], **options: Any) -> Contender:
        places = ("pictures", "features.npy")
        return Contender(
            name=name,
            group=group,
            module=module,
            function=function,
            options=options,
            needs=needs,
            places=places,
            floor=PILLOW if group == "antialiased" else None,
        )

    if group == "antialiased":
        bilinear = "keras bilinear"
        yield one("Keras PyDataset, threads, load_img", "keras_pydataset", "pydataset", (), decode=bilinear)
        yield one(
            "Keras PyDataset, processes, load_img", "keras_pydataset", "pydataset", (), decode=bilinear, processes=True
        )
        yield one("torch DataLoader, Pillow", "torch_dataloader", "dataloader", ("torch",), decode="pillow")
        yield one("Grain, threads, Pillow", "grain_dataset", "map_dataset", ("grain",), decode="pillow")
        yield one(
            "Grain, processes, Pillow", "grain_dataset", "map_dataset", ("grain",), decode="pillow", processes=True
        )
        yield one("tf.data, antialias=True", "tf_data", "dataset", ("tensorflow",), decode=True, antialias=True)
    else:
        yield one("tf.data, bilinear", "tf_data", "dataset", ("tensorflow",), decode=True)
        yield one("tf.data, ratio=2, bilinear", "tf_data", "dataset", ("tensorflow",), decode=True, ratio=2)
        yield one("torch DataLoader, OpenCV", "torch_dataloader", "dataloader", ("torch", "cv2"), decode="opencv")
        yield one(
            "torch DataLoader, OpenCV half", "torch_dataloader", "dataloader", ("torch", "cv2"), decode="opencv half"
        )


def class_of(recipe: Recipe) -> str:
    """The class that a recipe's pictures belong to: antialiased where its filter takes all pixels into account.

    A scaled decode does: it averages squares of pixels.

    Example:
        >>> class_of(named_recipe("fastest", size=(8, 8))), class_of(named_recipe("turbo-fastest", size=(8, 8)))
        ('antialiased', 'no antialias')
    """
    if recipe.name == "keras":
        return "keras pixels"
    return "no antialias" if recipe.filter in ("nearest", "linear") else "antialiased"


def recipes() -> dict[str, str]:
    """Ready recipes of mtgen by name -> class."""
    return {name: class_of(named_recipe(name, size=(150, 150))) for name in NAMES}


def _packages(recipe: str) -> tuple[str, ...]:
    """What a ready recipe needs besides Pillow."""
    decoder = getattr(named_recipe(recipe, size=(150, 150)), "decoder", "pillow")
    return tuple(getattr(recipe_names, f"{decoder.upper()}_PACKAGES", ()))


def _own(group: str, features: str | None, recipe: str, name: str | None = None) -> Contender:
    kind = {"features.bcolz": "bcolz", "features.packed": "packed", None: "no"}[features]
    return Contender(
        name=name or f"mtgen {recipe}, {kind} features",
        group=group,
        module="own",
        function="loader",
        options={"features": features, "recipe": recipe},
        family="mtgen",
        needs=_packages(recipe),
        places=("pictures",) if features is None else ("pictures", features),
        floor=PILLOW if recipe == "clean" else _bare(recipe),
        recipe=recipe,
    )


def _floor(name: str, group: str, function: str, places: tuple[str, ...], **options: Any) -> Contender:
    return Contender(
        name=name, group=group, module="floors", function=function, options=options, family="floor", places=places
    )


def _pictures() -> Iterator[Contender]:
    own = recipes()
    yield Contender(
        name="2017 generator, one lock",
        group="keras pixels",
        module="ancestor",
        function="locked_generator",
        options={"pictures": True},
        needs=("bcolz",),
        places=("pictures", "features.bcolz"),
        floor=_bare("keras"),
    )
    for name, processes in (("threads", False), ("processes", True)):
        yield Contender(
            name=f"Keras PyDataset, {name}, nearest",
            group="keras pixels",
            module="keras_pydataset",
            function="pydataset",
            options={"decode": "keras", "processes": processes},
            places=("pictures", "features.npy"),
            floor=_bare("keras"),
        )
    for group in ("antialiased", "no antialias"):
        yield from _decoding(group)
    for recipe, group in own.items():
        if recipe == "clean":
            yield _own(group, "features.bcolz", recipe)
        yield _own(group, "features.packed", recipe)
    yield _floor(PILLOW, "antialiased", "bare_pillow", ("pictures",))
    for recipe, group in own.items():
        floor = _floor(_bare(recipe), group, "bare_decode", ("pictures",), recipe=recipe)
        yield replace(floor, needs=_packages(recipe))


def _packed() -> Iterator[Contender]:
    pixels, features = "pixels.packed", "features.packed"
    yield Contender(
        name="mtgen, packed pictures and features",
        group="packed",
        module="own",
        function="loader",
        options={"features": features, "pixels": pixels},
        family="mtgen",
        places=(features, pixels),
        floor=COPY,
    )
    for kind, name in ((features, "packed features"), ("features.plain", "features packed without a codec")):
        yield Contender(
            name=f"mtgen, cached pictures, {name}",
            group="packed",
            module="own",
            function="loader",
            options={"features": kind, "recipe": "clean", "cache": "pixels.cache"},
            family="mtgen",
            places=("pictures", kind, "pixels.cache"),
            floor=COPY,
            recipe="clean",
        )

    def one(name: str, module: str, function: str, needs: tuple[str, ...], kind: str, **options: Any) -> Contender:
        return Contender(
            name=name,
            group="packed",
            module=module,
            function=function,
            options=options,
            needs=needs,
            places=(f"features.{kind}", f"pixels.{kind}"),
            floor=COPY,
        )

    yield one("numpy memmap", "arrays", "numpy_memmap", (), "npy", pictures=True)
    yield one("TensorStore bare", "arrays", "tensorstore_bare", (), "zarr", pictures=True)
    yield one("Keras PyDataset, threads, .npy", "keras_pydataset", "pydataset", (), "npy", decode="pixels")
    yield one("torch DataLoader, .npy", "torch_dataloader", "dataloader", ("torch",), "npy", decode="pixels")
    yield one("Grain, threads, .npy", "grain_dataset", "map_dataset", ("grain",), "npy", decode="pixels")
    yield one("tf.data, pictures in memory", "tf_data", "decoded", ("tensorflow",), "npy")
    yield one("FFCV", "ffcv_loader", "beton", ("ffcv",), "npy")
    for group in ("antialiased", "no antialias"):  # the quickest ones that decode, to see what packing spares
        yield from (one for one in _decoding(group) if one.module != "keras_pydataset" and "Grain, p" not in one.name)
    yield _floor(COPY, "packed", "copy_rows", ("features.npy", "pixels.npy"), pictures=True)


def _overhead() -> Iterator[Contender]:
    for recipe, group in recipes().items():
        if group != "keras pixels":
            yield _own("overhead", None, recipe, f"mtgen {recipe}, pictures alone")
            yield _own("overhead", "features.packed", recipe, f"mtgen {recipe}, with packed features")
