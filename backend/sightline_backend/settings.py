"""Every setting of the server: built once at the entry point, then passed down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sightline_engines.load import EngineName
from sightline_engines.triton.options import Transport, TritonOptions


def _named(name: str, *others: str) -> AliasChoices:
    """Return the names of a setting that other programs' users know by another name."""
    return AliasChoices(f"SIGHTLINE_{name.upper()}", name, *others)


Names = Annotated[tuple[str, ...], NoDecode]  # comma separated in the environment


class Settings(BaseSettings):
    """The server's settings, read from SIGHTLINE_* variables where no value is given."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0: all.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    allowed_origins: Names = Field(
        default=(),
        description="Further pages that may use the server, such as https://cams.example.org. "
        "Pages on the server's own host are always welcome; * welcomes every page.",
    )

    model: str = Field(default="sightline-webcam", description="What serves: a name or a file.")
    preload: Names = Field(default=(), description="Further models to load at the start.")
    models_dir: Path = Field(
        default_factory=lambda: user_data_path("sightline") / "models",
        description="Folder of downloaded and added models.",
    )
    database_url: str | None = Field(
        default=None,
        description="Where models and jobs are indexed, such as "
        "postgresql+psycopg://user:password@host/sightline; unset: SQLite in models_dir.",
    )
    data_dir: Path | None = Field(
        default=None,
        description="Folder whose data sets may be named in API and pages; unset: uploads alone.",
    )
    max_models: int = Field(default=3, ge=1, le=32, description="Models in memory at once.")
    engine: EngineName = Field(
        default="auto", description="auto, onnxruntime, openvino, tensorrt or triton."
    )
    device: str | None = Field(
        default=None, description="cpu, cuda, cuda:1 or tensorrt; unset: the best there is."
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="Processor threads of an engine; unset: its own."
    )
    isolate: bool = Field(
        default=True,
        description="Engines in processes of their own: a crash costs a batch, not the server.",
    )
    instances: int = Field(
        default=1, ge=1, le=64, description="Engines of each model that work side by side."
    )

    triton_grpc_url: str | None = Field(
        default=None,
        validation_alias=_named("triton_grpc_url", "TRITON_GRPC_URL"),
        description="Host and port of Triton's gRPC, such as triton:8001; also TRITON_GRPC_URL.",
    )
    triton_http_url: str | None = Field(
        default=None,
        validation_alias=_named("triton_http_url", "TRITON_HTTP_URL"),
        description="Host and port of Triton's HTTP, such as triton:8000; also TRITON_HTTP_URL.",
    )
    triton_protocol: Literal["grpc", "http"] = Field(
        default="grpc",
        validation_alias=_named("triton_protocol", "TRITON_PROTOCOL"),
        description="How Triton is asked; also TRITON_PROTOCOL.",
    )
    triton_metrics_url: str | None = Field(
        default=None,
        description="Page of Triton's metrics, such as http://triton:8002/metrics; unset: the same "
        "host, port 8002.",
    )
    triton_model: str | None = Field(
        default=None,
        validation_alias=_named("triton_model", "MODEL_NAME"),
        description="What POST /predict asks at Triton; unset: the model that serves; also "
        "MODEL_NAME.",
    )
    triton_repository: Path | None = Field(
        default=None,
        description="Triton's model repository, a folder it shares with this server; unset: "
        "nothing can be deployed.",
    )
    triton_transport: Transport = Field(
        default="tensors",
        description="What engine triton sends: tensors, pictures as they come, or tensors through "
        "system_shm or cuda_shm on Triton's own host.",
    )
    triton_timeout_ms: float = Field(
        default=2000, gt=0, le=60_000, description="Longest wait for Triton's answer, ms."
    )
    triton_in_flight: int = Field(
        default=2, ge=1, le=64, description="Batches that engine triton has at Triton at once."
    )
    triton_fallback: Literal["auto", "onnxruntime", "openvino"] | None = Field(
        default=None,
        description="Engine of this machine that answers while Triton doesn't; unset: frames fail "
        "and say why.",
    )
    page_url: str | None = Field(
        default=None,
        description="Where the pages are, for people who open the server's address; unset: the "
        "same host, port 8501.",
    )

    max_batch: int = Field(default=8, ge=1, le=128, description="Most pictures an engine call.")
    deadline_ms: float = Field(
        default=500, gt=0, le=60_000, description="Age up to which a live frame is answered, ms."
    )
    credits: int = Field(default=2, ge=1, le=16, description="Frames a client has in flight.")
    max_frame_scans: int = Field(
        default=12, ge=1, le=100, description="Most scans of a live JPEG; cameras send one."
    )
    max_streams: int = Field(default=64, ge=1, le=10_000, description="Live streams at once.")
    max_frame_pixels: int = Field(
        default=9_000_000,
        ge=1,
        description="Most pixels of a live frame; a small file can hold millions and hold up all.",
    )
    max_frame_bytes: int = Field(default=2**20, ge=1024, description="Largest live frame, bytes.")
    idle_timeout_s: float = Field(
        default=60, gt=0, description="Silence after which a live stream is closed, seconds."
    )
    slow_client_timeout_s: float = Field(
        default=10, gt=0, description="Time a live client may leave answers unread, seconds."
    )

    max_upload_bytes: int = Field(default=20 * 2**20, ge=1024, description="Largest upload, bytes.")
    max_uploads: int = Field(default=32, ge=1, le=10_000, description="Uploads in hand at once.")
    upload_timeout_s: float = Field(
        default=60, gt=0, description="Time an upload may take to arrive, seconds."
    )
    max_pixels: int = Field(default=50_000_000, ge=1, description="Most pixels of a picture.")
    max_model_bytes: int = Field(default=2**30, ge=1024, description="Largest model file, bytes.")
    max_dataset_bytes: int = Field(
        default=4 * 2**30, ge=1024, description="Largest data set, bytes, packed and unpacked."
    )
    allow_pickle: bool = Field(
        default=False,
        description="Take .pt and .pth files, which are programs; they are opened behind walls.",
    )
    admin_token: SecretStr | None = Field(
        default=None,
        description=(
            "Password of every call that changes models or starts jobs; unset: none asked. Reading "
            "needs none: lists, logs of jobs, downloads of models."
        ),
    )
    max_accuracy_loss: float = Field(
        default=0.01, ge=0, le=1, description="mAP50-95 that a promoted model may lose."
    )
    job_timeout_s: float = Field(
        default=6 * 3600, gt=0, description="Longest time of one job, seconds."
    )

    shutdown_timeout_s: float = Field(
        default=18, gt=0, description="Time for work in hand when the server stops, seconds."
    )
    trace_to: str | None = Field(
        default=None,
        description="OTLP/HTTP collector of traces, such as http://localhost:4318; unset: none.",
    )
    trace_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of frames and calls that are traced, 0 to 1."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line that is written."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console for people, json for log collectors."
    )

    @field_validator("allowed_origins", "preload", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _bare_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and ("://" not in origin or origin.count("/") != 2):
                raise ValueError(
                    f"an origin is a scheme and a host such as https://cams.example.org, "
                    f"got {origin!r}"
                )
        return tuple(origin.lower() for origin in value)

    @field_validator(
        *("device", "trace_to", "database_url", "data_dir", "admin_token", "page_url"),
        *("triton_grpc_url", "triton_http_url", "triton_metrics_url", "triton_model"),
        *("triton_repository", "triton_fallback"),
        mode="before",
    )
    @classmethod
    def _unset_when_empty(cls, value: object) -> object:
        return value or None

    @field_validator("trace_to")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not _is_web_address(value):
            raise ValueError(
                "http:// or https://, a host and, after a colon, its port are needed, such as "
                f"http://localhost:4318; got {value!r}"
            )
        return value

    @property
    def triton(self) -> TritonOptions | None:
        """How Triton is reached; None: no address is set."""
        if not (self.triton_grpc_url or self.triton_http_url):
            return None
        return TritonOptions(
            grpc_url=self.triton_grpc_url,
            http_url=self.triton_http_url,
            protocol=self.triton_protocol,
            transport=self.triton_transport,
            timeout_s=self.triton_timeout_ms / 1e3,
            fallback=self.triton_fallback,
        )

    @model_validator(mode="after")
    def _triton_address(self) -> Self:
        url = self.triton_grpc_url if self.triton_protocol == "grpc" else self.triton_http_url
        if self.triton is not None and url is None:
            raise ValueError(
                f"triton_protocol is {self.triton_protocol}: name Triton's address in "
                f"triton_{self.triton_protocol}_url, or choose the other protocol"
            )
        if self.engine == "triton" and url is None:
            raise ValueError("engine triton needs Triton's address: triton_grpc_url, host:8001")
        return self

    @model_validator(mode="after")
    def _processes_for_instances(self) -> Self:
        if not self.isolate and self.instances > 1:
            raise ValueError(
                "several instances need engines in processes of their own: leave isolate at "
                "true, or instances at 1"
            )
        return self

    @model_validator(mode="after")
    def _room_for_preloaded(self) -> Self:
        if len(set(self.preload) | {self.model}) > self.max_models:
            raise ValueError(
                f"preload names {len(self.preload)} models beside {self.model}, "
                f"max_models allows {self.max_models} in all"
            )
        return self


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that isn't closed
        return False
    return web and not any(char.isspace() for char in text)
