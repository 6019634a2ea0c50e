from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.provider import Bucket, Buckets, FreeSize, SameAsInput, SizeRule
from ziggie_image_mcp.provider.sizes import (
    Size,
    bucket_of,
    corners,
    first_pass_size,
    is_exact,
    like,
    native_size,
    nearest_side,
    nearest_size,
    problem,
    ratio_text,
    shaped,
)

BUCKETS = Buckets(
    sizes=(
        Bucket(width=1024, height=1024, name="1:1"),
        Bucket(width=1536, height=1024, name="3:2"),
        Bucket(width=1024, height=1536, name="2:3"),
    )
)


@st.composite
def boxes(draw: st.DrawFn) -> FreeSize:
    """Rules as vendors have them: some sizes are allowed, the native one among them."""
    step = draw(st.sampled_from((1, 8, 16, 32, 64)))
    low = draw(st.integers(1, 8)) * max(step, 16)
    high = low * draw(st.integers(2, 16))
    native = nearest_side((low + high) / 2, FreeSize(min_side=low, max_side=high, multiple_of=step))
    pixels = native * native
    return FreeSize(
        native_width=native,
        native_height=native,
        min_side=low,
        max_side=high,
        multiple_of=step,
        min_pixels=draw(st.sampled_from((0, pixels // 4, pixels // 2))),
        max_pixels=draw(st.sampled_from((None, pixels, pixels * 2))),
        max_ratio=draw(st.sampled_from((None, 1.0, 1.5, 2.0, 3.0, 16 / 9))),
    )


@pytest.mark.parametrize(
    ("size", "first"),
    [
        (Size(512, 512), None),
        (Size(768, 512), None),  # one and a half times the area, which one pass still does
        (Size(776, 512), Size(632, 416)),
        (Size(1024, 1024), Size(512, 512)),
    ],
)
def test_a_large_picture_is_drawn_at_native_area_first(size: Size, first: Size | None) -> None:
    small = first_pass_size(size, 512 * 512, step=8, least=64)

    assert small == first
    assert first_pass_size(size, 512 * 512, step=8, above=16.0) is None


@given(boxes(), st.floats(1, 20_000), st.floats(1, 20_000))
def test_the_nearest_size_is_always_one_that_the_rule_takes(
    box: FreeSize, width: float, height: float
) -> None:
    assert problem(box, nearest_size(box, width, height)) == ""
    assert problem(SameAsInput(accepts=box), nearest_size(box, width, height)) == ""


@given(boxes(), st.floats(0.01, 100))
def test_every_shape_and_every_picture_gets_an_allowed_size(box: FreeSize, ratio: float) -> None:
    assert problem(box, shaped(box, ratio)) == ""
    assert problem(box, like(box, max(1, round(1000 * ratio)), 1000)) == ""


@given(boxes())
def test_an_allowed_size_stays_as_it_is(box: FreeSize) -> None:
    size = native_size(box)

    assert problem(box, size) == ""
    assert nearest_size(box, *size) == size


@given(boxes())
def test_corners_are_allowed_different_and_hold_the_native_size(box: FreeSize) -> None:
    sizes = corners(box)

    assert sizes[0] == native_size(box)
    assert len(set(sizes)) == len(sizes)
    assert not [size for size in sizes if problem(box, size)]


@given(st.floats(1, 20_000), st.floats(1, 20_000))
def test_the_nearest_of_a_list_is_on_the_list(width: float, height: float) -> None:
    assert problem(BUCKETS, nearest_size(BUCKETS, width, height)) == ""


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ((512, 512), (1024, 1024)),
        ((1920, 1080), (1536, 1024)),
        ((1080, 1920), (1024, 1536)),
        ((1030, 1000), (1024, 1024)),
    ],
)
def test_of_a_list_the_shape_counts_first(asked: tuple[int, int], nearest: tuple[int, int]) -> None:
    assert nearest_size(BUCKETS, *asked) == nearest


def test_what_is_rounded_finer_in_a_larger_size_is_no_other_shape() -> None:
    small, large = Bucket(width=1360, height=768), Bucket(width=5456, height=3072)

    assert nearest_size(Buckets(sizes=(small, large)), 16 * 80, 9 * 80) == (1360, 768)


def test_of_one_shape_in_two_sizes_the_area_decides() -> None:
    rule = Buckets(sizes=(Bucket(width=512, height=512), Bucket(width=2048, height=2048)))

    assert nearest_size(rule, 600, 600) == (512, 512)
    assert nearest_size(rule, 1600, 1600) == (2048, 2048)


@pytest.mark.parametrize(
    ("rule", "size", "words"),
    [
        (FreeSize(), Size(1024, 1024), ""),
        (FreeSize(), Size(1023, 1024), "64 to 2048 px in steps of 8"),
        (FreeSize(), Size(32, 1024), "64 to 2048 px in steps of 8"),
        (FreeSize(), Size(1024, 4096), "64 to 2048 px in steps of 8"),
        (FreeSize(min_pixels=500_000), Size(512, 512), "500,000 to 4,194,304 pixels in all"),
        (FreeSize(max_pixels=500_000), Size(1024, 512), "0 to 500,000 pixels in all"),
        (FreeSize(max_ratio=2.5), Size(2048, 512), "at most 2.5:1"),
        (BUCKETS, Size(1024, 1024), ""),
        (BUCKETS, Size(1024, 1000), "1024x1024, 1536x1024, 1024x1536"),
        (SameAsInput(accepts=FreeSize(max_side=512)), Size(1024, 512), "64 to 512 px"),
    ],
)
def test_what_a_rule_does_not_take_is_said_by_what_it_takes(
    rule: SizeRule, size: Size, words: str
) -> None:
    assert problem(rule, size).startswith(words)
    assert bool(problem(rule, size)) is bool(words)


def test_a_long_list_is_cut_in_messages() -> None:
    rule = Buckets(sizes=tuple(Bucket(width=64 * n, height=64) for n in range(1, 21)))

    assert problem(rule, Size(1, 1)).endswith(" and 8 more")


def test_a_ratio_beyond_the_bounds_becomes_the_bound() -> None:
    size = nearest_size(FreeSize(max_ratio=2.0), 4000, 100)

    assert size.width == 2 * size.height


def test_a_picture_larger_than_the_model_is_worked_on_at_the_models_area() -> None:
    rule = FreeSize(native_width=512, native_height=512)

    assert like(rule, 2048, 2048) == (512, 512)
    assert like(rule, 256, 256) == (256, 256)
    assert like(BUCKETS, 300, 200) == (1536, 1024)


def test_a_list_knows_its_words() -> None:
    assert bucket_of(BUCKETS, Size(1536, 1024)) == BUCKETS.sizes[1]
    assert bucket_of(BUCKETS, Size(1, 1)) is None
    assert bucket_of(FreeSize(), Size(1024, 1024)) is None
    assert is_exact(BUCKETS)
    assert not is_exact(Buckets(sizes=BUCKETS.sizes, exact=False))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((1920, 1080), "16:9"),
        ((512, 512), "1:1"),
        ((1000, 655), "1.53:1"),
        ((655, 1000), "1:1.53"),
        ((16, 16000), "1:1000.00"),
    ],
)
def test_a_shape_is_said_in_small_numbers(size: tuple[int, int], text: str) -> None:
    assert ratio_text(*size) == text
