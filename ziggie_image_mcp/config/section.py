"""The base of every block of config.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from ziggie_image_mcp.provider.written import as_written


class Section(BaseModel):
    """One block of config.json: camelCase keys, no unknown ones."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        return as_written(value, cls.model_fields[info.field_name or ""].annotation)
