"""What every sampler can be asked for when its points are places: pixels, and windows around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mtgen.sampling.places.crop import Crop
    from mtgen.sampling.sampler import Sampler


class PlaceMethods:
    """Methods of `Sampler` for points that are places in pictures and volumes. Any thread."""

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape of the array whose pixels the points are, where that is known."""
        from mtgen.sampling.places.pixels import shape_of

        return shape_of(cast("Sampler", self))

    @property
    def window(self) -> tuple[int, ...] | None:
        """Size of the windows whose starts the points are; None where points are places."""
        from mtgen.sampling.places.windows import window_of

        return window_of(cast("Sampler", self))

    def to_pixels(self, shape: Any) -> Sampler:
        """Points in shares of an array, [0, 1), as its pixels: `floor(point * shape)`, int64.

        Points outside [0, 1) become pixels outside the array.

        Args:
            shape: of the array, one number per column.

        Raises:
            PlanError: a wrong shape, or points that count pixels of another array already.

        Example:
            >>> from mtgen import sampling as S
            >>> S.constant([0.5, 0.999]).to_pixels((10, 20)).sample(1).tolist()
            [[5, 19]]
        """
        from mtgen.sampling.places.pixels import to_pixels

        return to_pixels(cast("Sampler", self), shape)

    def in_pixels(self) -> Sampler:
        """The same points, declared to count pixels and not shares of an array.

        Raises:
            PlanError: points in shares.

        Example:
            >>> from mtgen import sampling as S
            >>> S.cloud([[30, 40]]).in_pixels().frame
            'pixels'
        """
        from mtgen.sampling.places.pixels import in_pixels

        return in_pixels(cast("Sampler", self))

    def crop(self, size: Any, border: str = "inside", shape: Any = None) -> Crop:
        """Windows around the points: a point is the centre, `start = centre - size // 2`; points become starts.

        Points without a frame are shares of the array. With `"inside"` only centres of windows that lie in the array
        count, and that comes first: classes of labels and parts of a mixture keep their shares.

        Args:
            size: of a window, a number or one per column.
            border: `"inside"`; `"shift"` moves windows over the border inside, which makes those at the border more
                frequent; `"pad"` leaves them over the border.
            shape: of the array; None where the points know it, as those of masks do, or what is cut will say it.

        Raises:
            PlanError: a wrong size, border or shape, or a window larger than the array.
            EmptySupportError: no point is the centre of a window inside.

        Example:
            >>> from mtgen import sampling as S
            >>> seen = np.zeros((8, 8)); seen[0, 0] = seen[4, 5] = 1
            >>> S.mask(seen).crop(4).sample(2).tolist()  # no window around (0, 0) lies inside
            [[2, 3], [2, 3]]
            >>> S.constant([0.0, 0.5]).crop(4, "shift").bound((100, 100)).sample(1).tolist()
            [[0, 48]]
        """
        from mtgen.sampling.places.crop import crop

        return crop(cast("Sampler", self), size, border, shape)

    def bound(self, shape: Sequence[int]) -> Sampler:
        """Windows in an array of a shape: the law from which their starts can be drawn.

        Raises:
            PlanError: points that are no windows, or windows that the array cannot hold.
            EmptySupportError: no window fits.

        Example:
            >>> from mtgen import sampling as S
            >>> (S.constant([0.5]).crop(4) | S.constant([0.2]).crop(4)).bound([10]).array_shape
            (10,)
        """
        from mtgen.sampling.places.windows import bound_to

        return bound_to(cast("Sampler", self), shape)
