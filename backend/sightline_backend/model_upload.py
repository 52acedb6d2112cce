"""A model's file on its way from a client into the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sightline_backend.models.names import check_name, name_from
from sightline_backend.store.models import ModelStore, refuse_pickle
from sightline_backend.store.texts import DESCRIPTION_LENGTH, LICENCE_LENGTH, SOURCE_LENGTH
from sightline_engines.errors import ModelFileError
from sightline_engines.examine.model import examine_model
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import Format, format_of


class UploadFields(BaseModel):
    """What goes with a file; it is the body itself."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(
        max_length=300, description="What it is called, such as my.onnx: .onnx, .pt or .pth."
    )
    name: str | None = Field(None, description="What to call the model; default: the file's name.")
    model: str | None = Field(None, description="A model that this is a new version of.")
    licence: str | None = Field(None, max_length=LICENCE_LENGTH)
    source: str | None = Field(None, max_length=SOURCE_LENGTH, description="Where it came from.")
    description: str = Field("", max_length=DESCRIPTION_LENGTH)
    sidecar: str | None = Field(
        None, max_length=32_000, description="The JSON that would lie beside the file."
    )

    @property
    def suffix(self) -> str:
        """Return the end of the file's name, of those that are taken."""
        suffix = Path(self.filename).suffix.lower()
        if suffix not in (".onnx", ".pt", ".pth"):
            raise ModelFileError(
                f"{self.filename[-80:]!r} is neither .onnx nor .pt. Send the model's ONNX file; "
                "what is made for one runtime is made of it here."
            )
        return suffix

    @property
    def file_name(self) -> str:
        """Return what to call the file on the disk."""
        return f"{name_from(Path(self.filename).stem)}{self.suffix}"

    @property
    def model_name(self) -> str:
        """Return what to call a new model."""
        return check_name(self.name) if self.name else name_from(Path(self.filename).stem)


def check_upload(fields: UploadFields, store: ModelStore, *, allow_pickle: bool) -> None:
    """Refuse, before a byte has come, what would be refused after the last; blocks."""
    if format_of(Path(f"a{fields.suffix}")) is Format.TORCH:
        refuse_pickle(Path(Path(fields.filename).name), allowed=allow_pickle)
    if fields.model:
        store.model(fields.model)
    else:
        store.refuse_taken(fields.model_name)


def add_upload(file: Path, fields: UploadFields, store: ModelStore, *, allow_pickle: bool) -> str:
    """Add what has come to the store and return the model's name; blocks.

    This process opens nothing of an ONNX file: a child says what it is.
    """
    if format_of(file) is Format.TORCH:
        return store.add_checkpoint(
            file,
            None if fields.model else fields.model_name,
            allow_pickle=allow_pickle,
            version_of=fields.model,
            licence=fields.licence,
            source=fields.source or Path(fields.filename).name,
            description=fields.description,
        ).model
    if fields.sidecar:
        sidecar_path(file).write_text(fields.sidecar.encode(errors="replace").decode(), "utf-8")
    store.know(file, examine_model(file, file.parent / "examined"))
    if fields.model:
        store.add_version(fields.model, file, licence=fields.licence, source=fields.source)
        return fields.model
    return store.add(
        file,
        fields.model_name,
        licence=fields.licence,
        source=fields.source,
        description=fields.description,
    ).name
