"""How many pictures of a request are made at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.batches import at_once, batches
from ziggie_image_providers.diffusers.device import share, words

GB = 10**9


def request(**changes: object) -> wire.WorkerRequest:
    values: dict[str, object] = {
        "path": "/m",
        "pipeline": "P",
        "prompt": "a fox",
        "negative_prompt": None,
        "width": 512,
        "height": 512,
        "num_images": 16,
        "seed": 1,
        "steps": 4,
        "guidance": None,
        "need_bytes": 4 * GB,
        "picture_bytes": GB // 2,
    }
    return wire.WorkerRequest.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("room", "total", "count"),
    [
        (5, 80, 1),  # 4.3 with the margin: nothing for a second one
        (5.2, 80, 2),
        (8, 80, 6),
        (7, 8, 4),
        (11, 12, 6),
        (23, 24, 16),
        (70, 80, 16),
    ],
)
def test_as_many_are_made_at_once_as_there_is_room_for(room: float, total: int, count: int) -> None:
    assert at_once(request(), int(room * GB), total * GB) == count


@pytest.mark.parametrize(
    ("changes", "room"), [({}, None), ({"need_bytes": None}, 70), ({"picture_bytes": 0}, 70)]
)
def test_one_is_made_after_another_where_nothing_is_known(
    changes: dict[str, object], room: int | None
) -> None:
    assert at_once(request(**changes), room and room * GB, 80 * GB) == 1


def test_the_users_own_number_goes_before_everything() -> None:
    assert at_once(request(batch_size=3), None, None) == 3


class OutOfMemoryError(RuntimeError):
    """Named as the one of torch."""


class Card:
    """Makes so many pictures at once, and runs out of memory with more."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tried: list[list[int]] = []
        self.freed = 0

    def make(self, numbers: Sequence[int]) -> list[bytes]:
        self.tried.append(list(numbers))
        if len(numbers) > self.most:
            raise OutOfMemoryError("CUDA out of memory.")
        return [bytes([number]) for number in numbers]

    def free(self) -> None:
        self.freed += 1


def test_half_as_many_are_made_at_once_after_memory_ran_out() -> None:
    card = Card(most=3)

    made = list(batches(7, 6, card.make, card.free))

    assert made == [(number, bytes([number])) for number in range(7)]
    assert card.tried == [[0, 1, 2, 3, 4, 5], [0, 1, 2], [3, 4, 5], [6]]
    assert card.freed == 1


def test_memory_that_runs_out_for_a_single_picture_is_an_error() -> None:
    card = Card(most=0)

    with pytest.raises(OutOfMemoryError):
        list(batches(4, 4, card.make, card.free))

    assert [len(numbers) for numbers in card.tried] == [4, 2, 1]


def test_another_error_is_not_tried_again() -> None:
    def make(numbers: Sequence[int]) -> list[bytes]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(batches(4, 4, make, lambda: None))


def test_progress_counts_the_pictures_that_are_made_together() -> None:
    four = request(num_images=4)
    steps = [
        wire.Step(picture=0, step=2, steps=4, pictures=3),
        wire.Step(picture=0, step=4, steps=4, pictures=3),
        wire.Step(picture=3, step=2, steps=4),
    ]

    shares = [share(four, step) for step in steps]
    texts = [words(four, step) for step in steps]

    assert shares == sorted(shares)
    assert shares[1] == pytest.approx(0.05 + 0.93 * 0.75)
    assert texts == [
        "pictures 1 to 3 of 4, step 2 of 4",
        "pictures 1 to 3 of 4, step 4 of 4",
        "picture 4 of 4, step 2 of 4",
    ]
