"""What a user may set about a provider: sections of config.json, and rows of facts about models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast, overload

import httpx2
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from ziggie_image_mcp.provider.addresses import whose_host
from ziggie_image_mcp.provider.capabilities import (
    Bucket,
    Buckets,
    FreeSize,
    Option,
    PromptLimit,
    SizeRule,
    Task,
)
from ziggie_image_mcp.provider.files import read_regular, whole_path
from ziggie_image_mcp.provider.nouns import Where
from ziggie_image_mcp.provider.pricing import FREE, OWN_PRICE, PriceBook, Prices, Rate, Unit, When
from ziggie_image_mcp.provider.written import as_written

if TYPE_CHECKING:
    from ssl import SSLContext

MAX_CERTIFICATES = 10 * 1024 * 1024
_TLS_PORTS = (443, 8443)


class Section(BaseModel):
    """One block of settings: camelCase keys, no unknown ones, no values in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,
    )


class ProviderSettings(Section):
    """A provider's section of config.json."""

    timeout: float | None = Field(default=None, gt=0, le=86_400)
    """Seconds for one request; unset: `api.timeout`, or else the provider's own."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(value, cls.model_fields[info.field_name or ""].annotation)


class HttpSettings(ProviderSettings):
    """The section of a provider that is reached over HTTP."""

    base_url: str = Field(repr=False)
    """May carry a path, and `user:password@` for a reverse proxy's sake."""
    headers: dict[str, SecretStr] = {}
    """Sent with every request, as a reverse proxy may want."""
    verify_tls: bool = True
    """False takes any certificate: whoever stands between can read and change all."""
    ca_file: str | None = None
    """A file of certificates to trust instead of the system's."""
    local: bool | None = None
    """Whether the host is the user's own; unset: only when it is this machine."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            value = _with_scheme(value)
            url = httpx2.URL(value)
        except httpx2.InvalidURL as e:
            raise ValueError("must be an address as http://127.0.0.1:8188") from e
        strange = url.port is not None and not 0 < url.port < 2**16
        no_host = url.scheme not in ("http", "https") or not url.host or strange
        if no_host or url.query or url.fragment:
            raise ValueError("must be an address as http://127.0.0.1:8188, without a query")
        return value.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            text = secret.get_secret_value()
            if not (name and f"{name}{text}".isascii() and f"{name}{text}".isprintable()):
                raise ValueError(f"{name!r}: names and values are letters and signs of ASCII")
        return value

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                value = whole_path(value)
                certificates(value)
            except (OSError, ValueError) as e:
                raise ValueError(f"is no file of certificates: {e}") from e
        return value


class EngineSettings(HttpSettings):
    """The section of an engine of the user's own that may want a login."""

    key_name: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds its login or key, where it wants one."""


def _with_scheme(address: str) -> str:
    """An address with the `http://` that people leave out, where it can mean nothing else.

    Raises:
        httpx2.InvalidURL: It is no address.
        ValueError: It may mean https as well.
    """
    address = address.strip()
    if "://" in address or not address:
        return address
    url = httpx2.URL(f"http://{address}")
    if url.host in ("http", "https"):
        raise httpx2.InvalidURL("a scheme without its ://")
    if whose_host(url.host) == "vendor" or url.port in _TLS_PORTS:
        raise ValueError(f"must begin with http:// or https://, as https://{url.host}")
    return f"http://{address}"


Folder = Annotated[Path, BeforeValidator(lambda value: whole_path(str(value)))]
"""A folder of this machine, with its whole path."""


def certificates(file: str) -> SSLContext:
    """What trusts the certificates of a file.

    Raises:
        OSError: It cannot be read, or is no regular file.
        ValueError: It is no PEM file of certificates.
    """
    import ssl

    text = read_regular(Path(file), MAX_CERTIFICATES).decode()
    try:
        return ssl.create_default_context(cadata=text)
    except ssl.SSLError as e:
        raise ValueError(str(e)) from e


class RateRow(Section):
    """A rate in a table or in config.json."""

    unit: Unit
    micro_usd: float = Field(ge=0, le=10**12)
    quality: str = ""
    tasks: frozenset[Task] = frozenset()
    max_pixels: int | None = None
    rounds_up: bool = False
    expected: float | None = None
    most: float | None = None

    def rate(self) -> Rate:
        """The same as a noun."""
        return Rate(
            unit=self.unit,
            micro_usd=self.micro_usd,
            when=When(tasks=self.tasks, quality=self.quality, max_pixels=self.max_pixels),
            rounds_up=self.rounds_up,
            expected=self.expected,
            most=self.most,
        )


class ModelRow(Section):
    """The facts of one model. In config.json only what differs need be given."""

    title: str = ""
    aliases: tuple[str, ...] = ()
    family: str | None = None
    license: str = ""
    commercial_use: bool | None = None
    price_usd: float | None = Field(default=None, ge=0, le=1_000_000)
    """For one picture of any size and quality; wins over `rates`."""
    rates: tuple[RateRow, ...] = ()
    source: str = ""
    """Where the price was read."""
    as_of: date | None = None
    """The day on which it was read."""
    native_width: int = Field(default=1024, ge=16)
    native_height: int = Field(default=1024, ge=16)
    min_side: int = Field(default=256, ge=16)
    max_side: int = Field(default=2048, ge=16)
    multiple_of: int = Field(default=8, ge=1)
    min_pixels: int = 0
    max_pixels: int | None = None
    max_ratio: float | None = Field(default=None, ge=1)
    shapes: dict[str, tuple[int, int]] = {}
    """Sizes by the backend's word for them, the native one first. Empty: any width and height."""
    exact_shapes: bool = True
    """False where the backend promises only the ratio of a shape, or of a width and height."""
    max_images: int = Field(default=1, ge=1)
    options: frozenset[Option] = frozenset()
    default_steps: int | None = None
    default_guidance: float | None = None
    distilled: bool = False
    quality: float | None = Field(default=None, ge=0, le=10)
    max_prompt: int | None = Field(default=None, ge=1)
    """Characters; a longer prompt would be refused."""
    seconds: float | None = None
    deprecated_on: date | None = None

    def sizes(self) -> SizeRule:
        """The row's size rule."""
        if self.shapes:
            buckets = (Bucket(width=w, height=h, name=n) for n, (w, h) in self.shapes.items())
            return Buckets(sizes=tuple(buckets), exact=self.exact_shapes)
        return FreeSize(
            native_width=self.native_width,
            native_height=self.native_height,
            min_side=self.min_side,
            max_side=self.max_side,
            multiple_of=self.multiple_of,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            max_ratio=self.max_ratio,
            exact=self.exact_shapes,
        )

    def prices(self, where: Where) -> Prices:
        """The row's prices. A price of 0 is FREE, but for a vendor's: there it is a price of 0."""
        if self.price_usd is not None:
            if self.price_usd == 0 and where != "vendor":
                return FREE
            rates: tuple[Rate, ...] = (Rate(unit="image", micro_usd=self.price_usd * 1e6),)
        else:
            rates = tuple(row.rate() for row in self.rates)
        return PriceBook(rates=rates, as_of=self.as_of, source=self.source)

    def prompt_limit(self) -> PromptLimit | None:
        """The row's prompt limit."""
        if self.max_prompt is None:
            return None
        return PromptLimit(count=self.max_prompt, unit="characters", beyond="refused")


RowT = TypeVar("RowT", bound=ModelRow)


class VendorSettings(HttpSettings, Generic[RowT]):
    """The section of a vendor, or of a server that speaks a vendor's API."""

    key_name: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key; null for a server that wants none."""
    models: dict[str, RowT] = {}
    """By id: more models, or what you know better of those in the table, as a price."""
    live_prices: bool = True
    """Whether the vendor's own price list is read, once a day, where it has one for nothing."""


@overload
def settings_for(base_url: str, *, key: str | None) -> type[VendorSettings[ModelRow]]: ...


@overload
def settings_for(
    base_url: str, *, key: str | None, row: type[RowT]
) -> type[VendorSettings[RowT]]: ...


def settings_for(
    base_url: str, *, key: str | None, row: type[ModelRow] = ModelRow
) -> type[VendorSettings[Any]]:
    """The section of a vendor at this address, whose key stands in the variable `key`.

    Args:
        base_url: Where its API is, unless the user says otherwise.
        key: An environment variable; None where no key is needed.
        row: The class of its rows, where a row holds more than ModelRow.
    """
    from pydantic import create_model

    fields: dict[str, Any] = {
        "base_url": (str, Field(default=base_url, repr=False)),
        "key_name": (str | None, Field(default=key, pattern=r"^[A-Z][A-Z0-9_]*$")),
    }
    generic: Any = VendorSettings
    made = create_model("Settings", __base__=generic[row], **fields)
    return cast("type[VendorSettings[Any]]", made)


@functools.cache
def table(package: str, row: type[RowT], file: str = "models.json") -> Mapping[str, RowT]:
    """The rows of models that come with a provider, by id, out of a JSON file beside its code."""
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    kind: Any = dict[str, row]  # type: ignore[valid-type]
    rows: dict[str, RowT] = TypeAdapter(kind).validate_json(text)
    return rows


def merge_rows(known: Mapping[str, RowT], own: Mapping[str, RowT]) -> dict[str, RowT]:
    """A table with the user's changes and additions. The user's own price has no age."""
    merged = dict(known)
    for id, row in own.items():
        changes = {name: getattr(row, name) for name in row.model_fields_set}
        if "price_usd" in changes or "rates" in changes:
            changes.setdefault("as_of", None)
            changes.setdefault("source", OWN_PRICE)
        if "rates" in changes:
            changes.setdefault("price_usd", None)
        base = merged.get(id)
        merged[id] = (
            row.model_copy(update=changes) if base is None else base.model_copy(update=changes)
        )
    return merged
