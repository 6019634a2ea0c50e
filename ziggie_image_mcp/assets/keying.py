"""Take the flat ground away that a subject stands on, and prove what is transparent.

Everything is read from the pixels; no model has a part in it. `flat_ground` finds the ground,
`edge_alpha` softens the edge; they import numpy, and are imported on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ziggie_image_mcp.provider.pictures import has_alpha, is_transparent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_PIXELS = 4096 * 4096
"""A larger picture would take more than half a gigabyte and some seconds."""

LEAST_SUBJECT = 16
"""Pixels: with fewer that are not ground there is no subject."""

OPEN_BORDER = 0.5
"""Of the outermost pixels: with so many transparent the ground is taken away already."""

PALE = 3
"""Of 255: what differs from the ground by so much more than the noise at the picture's edges may
be a pale part of the subject."""

PALE_WIDTH = 9
"""Pixels: what is thinner is the ringing of a lossy format along an edge."""

CLEAR = 8
"""Of 255: with less alpha a pixel is as good as not seen; lossy formats leave as much."""

LEAST_CLEAR = 0.001
"""Of a picture: with less of it clear it is opaque to all who look at it."""

BEYOND = "hair, glass and soft shadows are beyond keying"

CONTRAST = 0.6
"""Of the subject's edge: where less differs clearly from the ground it is not known where it is."""


@dataclass(frozen=True, kw_only=True)
class AlphaStatistics:
    """How transparent a picture is."""

    transparent: float
    """The share of pixels of which nothing is seen."""
    partial: float
    """The share of pixels of which something is seen, and something through them."""
    border_transparent: float
    """The share of the outermost pixels of which nothing is seen."""


@dataclass(frozen=True, kw_only=True)
class KeyedPicture:
    """A picture without its ground."""

    image: Image.Image
    """RGBA."""
    ground: tuple[int, int, int] | None
    """The colour that was taken away; None where the picture was transparent already, and is
    unchanged."""
    alpha: AlphaStatistics
    pale: float = 0.0
    """The share of the picture that was taken for ground and is not quite of its colour: a pale
    part of the subject may be gone with it."""
    confidence: float
    """0 to 1: the share of the picture's edges that is ground, times the share of the subject's
    edge that differs clearly from it. 1 where nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class NotKeyed:
    """Why a picture cannot be keyed."""

    code: Literal["NO_FLAT_GROUND", "NO_SUBJECT", "NO_CONTRAST", "TOO_LARGE"]
    message: str
    """One sentence, without a full stop."""


def remove_flat_ground(image: Image.Image) -> KeyedPicture | NotKeyed:
    """Make the flat ground of a picture transparent.

    The ground is what is of one colour, up to the noise that the picture shows, and hangs together
    with the picture's edges. What the subject encloses stays, also where it is of the same colour:
    the white of an eye, a white face with its features. Only a hole is keyed too: it is empty and
    at least 4 % as large as what encloses it, as are the insides of rings, handles and letters. So
    a white subject on white is keyed if it has an outline and something within it, and refused
    where it is not told from its ground. A faint outline in a mixture of the ground's colour and
    the subject's, such as dark red round red on black, becomes half transparent.

    A picture of whose edges most are transparent is given back as it is; what is transparent
    elsewhere stays so.
    """
    if is_transparent(image) and check_alpha(image).border_transparent >= OPEN_BORDER:
        return KeyedPicture(
            image=image.convert("RGBA"), ground=None, alpha=check_alpha(image), confidence=1
        )
    if image.width * image.height > MAX_PIXELS:
        message = f"it has more than {MAX_PIXELS / 1e6:.0f} million pixels"
        return NotKeyed(code="TOO_LARGE", message=message)
    import numpy as np
    from PIL import Image

    from ziggie_image_mcp.assets.edge_alpha import soften
    from ziggie_image_mcp.assets.flat_ground import distances, find_ground, mask_ground

    pixels = np.asarray(image.convert("RGB"))
    ground = find_ground(pixels)
    if isinstance(ground, str):
        return NotKeyed(code="NO_FLAT_GROUND", message=ground)
    mask = mask_ground(pixels, ground)
    if not mask.pixels.any():
        return NotKeyed(code="NO_FLAT_GROUND", message="the ground is too noisy to be one colour")
    subject = mask.pixels.size - int(mask.pixels.sum())
    if subject < LEAST_SUBJECT:
        return NotKeyed(code="NO_SUBJECT", message="nothing but the ground is in the picture")
    edge = soften(pixels, mask.pixels, ground.colour, mask.noise)
    if edge.contrast < CONTRAST:
        message = (
            f"only {edge.contrast:.0%} of the subject's edge differs clearly from the ground, "
            f"{CONTRAST:.0%} are needed"
        )
        return NotKeyed(code="NO_CONTRAST", message=message)
    result = np.dstack([pixels, np.where(mask.pixels, 0, 255).astype(np.uint8)])
    flat = result.reshape(-1, 4)
    flat[edge.positions, :3] = np.rint(edge.colours)
    flat[edge.positions, 3] = np.rint(edge.alpha * 255)
    if is_transparent(image):
        own = np.asarray(image.convert("RGBA").getchannel("A"), np.uint16)
        result[..., 3] = (result[..., 3] * own + 127) // 255
    result[result[..., 3] == 0] = 0
    keyed = Image.fromarray(result)
    red, green, blue = (round(float(value)) for value in ground.colour)
    return KeyedPicture(
        image=keyed,
        ground=(red, green, blue),
        alpha=check_alpha(keyed),
        pale=_pale_share(distances(pixels, ground.colour), mask.pixels),
        confidence=ground.border_share * edge.contrast,
    )


def _pale_share(distance: NDArray[np.uint8], ground: NDArray[np.bool_]) -> float:
    """How much of what was taken for ground is broad, and differs more than the ground's noise."""
    import numpy as np
    from PIL import Image, ImageFilter

    edges = (distance[0], distance[-1], distance[:, 0], distance[:, -1])
    at_edges = (ground[0], ground[-1], ground[:, 0], ground[:, -1])
    of_ground = np.concatenate([d[g] for d, g in zip(edges, at_edges, strict=True)])
    noise = float(np.percentile(of_ground, 99)) if len(of_ground) else 0.0
    pale = Image.fromarray(ground & (distance > noise + PALE)).convert("L")
    return float((np.asarray(pale.filter(ImageFilter.MinFilter(PALE_WIDTH))) > 0).mean())


def describe_alpha(alpha: AlphaStatistics) -> str:
    """The measured shares, as proofs have them."""
    return f"{alpha.transparent:.0%} of it is transparent, {alpha.partial:.1%} half so at the edges"


def is_cut_out(image: Image.Image) -> bool:
    """Whether a picture has a ground that is not seen, and not merely an alpha channel."""
    if not has_alpha(image):
        return False
    counts = image.convert("RGBA").getchannel("A").histogram()
    return sum(counts[:CLEAR]) >= LEAST_CLEAR * image.width * image.height


def check_alpha(image: Image.Image) -> AlphaStatistics:
    """Count how transparent a picture is."""
    if not has_alpha(image):
        return AlphaStatistics(transparent=0, partial=0, border_transparent=0)
    alpha = image.convert("RGBA").getchannel("A")
    counts = alpha.histogram()
    pixels = alpha.width * alpha.height
    inner = alpha.crop((1, 1, max(1, alpha.width - 1), max(1, alpha.height - 1)))
    within = inner.histogram() if inner.width and inner.height else [0] * 256
    border = pixels - sum(within)
    return AlphaStatistics(
        transparent=counts[0] / pixels,
        partial=sum(counts[1:255]) / pixels,
        border_transparent=(counts[0] - within[0]) / border,
    )
