"""Make the pictures of a request, as many at once as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.faults import is_out_of_memory

MARGIN = 1.15
"""What a need is multiplied with: estimates leave out fragmentation and work space."""

MOST = ((10e9, 4), (20e9, 6), (float("inf"), 16))
"""Below so many bytes of memory on a card, no more pictures at once: the source report's 2 to 4 on
cards of 8 GB, 4 to 6 on those of 12 to 16, 10 to 16 on larger ones."""


def at_once(request: wire.WorkerRequest, room: int | None, total: int | None) -> int:
    """How many pictures fit at the same time, by what one takes and each further one.

    One on a processor, which is as fast with one after another, and where the decision could not
    tell what the model needs.

    Args:
        request: With what its pictures take.
        room: What the card has for this process, what it holds included, bytes; None without one.
        total: What the card has in all.
    """
    if request.batch_size is not None:
        return request.batch_size
    if room is None or total is None or not request.need_bytes or not request.picture_bytes:
        return 1
    most = next(most for below, most in MOST if total < below)
    further = int((room / MARGIN - request.need_bytes) // request.picture_bytes)
    return max(1, min(most, 1 + further))


def batches(
    count: int,
    most: int,
    make: Callable[[Sequence[int]], Sequence[bytes]],
    free_memory: Callable[[], None],
) -> Iterator[tuple[int, bytes]]:
    """Make pictures 0 to `count` - 1, and give each with its number.

    Where memory runs out, half as many are made at once from then on, down to one.

    Args:
        count: Of the pictures.
        most: How many may be made at once.
        make: Makes those of these numbers.
        free_memory: Gives back what an attempt has left.
    """
    done = 0
    while done < count:
        numbers = range(done, min(count, done + most))
        try:
            pictures = make(numbers)
        except Exception as e:
            if len(numbers) == 1 or not is_out_of_memory(e):
                raise
            most = len(numbers) // 2
            pictures = None
        if pictures is None:  # outside of the handler, which holds on to what was computed
            free_memory()
            continue
        yield from zip(numbers, pictures, strict=True)
        done += len(numbers)
