"""Every error that mfgviz raises on purpose, in one tree.

A class's docstring is its default message. `retryable` says whether the same job may succeed
if it simply runs again; `exit_code` is what the command line returns; `remedy` says what to do.
The `code` (the class's name in kebab case) is the stable name that JSON output, the job table and
HTTP answers carry.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

EXIT_NOT_FOUND = 3
EXIT_CONFLICT = 4
EXIT_INVALID = 5
EXIT_UNAVAILABLE = 6
EXIT_JOB_FAILED = 7
EXIT_JOB_CANCELLED = 8
EXIT_FORBIDDEN = 9


class MfgvizError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    default_remedy: ClassVar[str] = ""
    code: ClassVar[str] = "mfgviz"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        words = re.findall(r"[A-Z][a-z0-9]*", cls.__name__.removesuffix("Error"))
        cls.code = "-".join(word.lower() for word in words)

    def __init__(self, message: str | None = None, *, remedy: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.remedy = self.default_remedy if remedy is None else remedy
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self)._rebuild, (self.message, self.remedy))

    @classmethod
    def _rebuild(cls, message: str, remedy: str) -> MfgvizError:
        return cls(message, remedy=remedy)

    def as_json(self) -> dict[str, str]:
        """The three things a caller needs: code, message, remedy."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


# -- asked for something that is not there ------------------------------------------------------
class NotFoundError(MfgvizError):
    """There is no such record."""

    exit_code = EXIT_NOT_FOUND


class PartNotFoundError(NotFoundError):
    """There is no such part."""

    default_remedy = "`mfgviz parts list` shows the parts there are."


class RevisionNotFoundError(NotFoundError):
    """There is no such part revision."""

    default_remedy = "`mfgviz revisions list PART` shows the revisions there are."


class JobNotFoundError(NotFoundError):
    """There is no such job."""

    default_remedy = "`mfgviz jobs list` shows the jobs there are."


class RenditionNotFoundError(NotFoundError):
    """There is no such render."""

    default_remedy = "`mfgviz renders list PART@REVISION` shows the renders there are."


class ModelNotFoundError(NotFoundError):
    """There is no such model."""

    default_remedy = "`mfgviz models list` shows the models there are; `mfgviz models add` adds one."


class TemplateNotFoundError(NotFoundError):
    """There is no such prompt template."""

    default_remedy = "`mfgviz templates list` shows the templates there are."


class TokenNotFoundError(NotFoundError):
    """There is no such token."""

    default_remedy = "`mfgviz tokens list` shows the tokens there are."


class WebhookNotFoundError(NotFoundError):
    """There is no such webhook."""

    default_remedy = "`mfgviz webhooks list` shows the webhooks there are."


class DeliveryNotFoundError(NotFoundError):
    """There is no such delivery."""

    default_remedy = "`mfgviz webhooks deliveries NAME` shows what was sent, or could not be."


class HookNotFoundError(NotFoundError):
    """There is no such inbound hook."""

    default_remedy = "`mfgviz hooks list` shows the hooks there are."


class ScheduleNotFoundError(NotFoundError):
    """There is no such schedule."""

    default_remedy = "`mfgviz schedules list` shows the schedules there are."


class BatchNotFoundError(NotFoundError):
    """There is no such batch."""

    default_remedy = "`mfgviz batches list` shows the batches there are."


class RuleNotFoundError(NotFoundError):
    """There is no such rule."""

    default_remedy = "`mfgviz rules list` shows the rules there are."


class NoPreviewError(NotFoundError):
    """There is no preview of that job now."""

    default_remedy = "Previews are made while a job is sampled, every few steps, and kept for a few minutes."


class NoSuchRouteError(NotFoundError):
    """There is nothing at that address."""

    default_remedy = "GET /api/v1/openapi.json describes what there is."


class InputFileNotFoundError(NotFoundError):
    """There is no such file, or it cannot be read."""

    default_remedy = "Check the path."


class ConnectorNotFoundError(NotFoundError):
    """There is no such connector."""

    default_remedy = "`mfgviz connectors list` shows the connectors there are."


class BlobNotFoundError(NotFoundError):
    """The blob store has no such blob."""

    default_remedy = "Check MFGVIZ_BLOB_URL: every host must see the same blob store."


# -- in conflict with what is there --------------------------------------------------------------
class ConflictError(MfgvizError):
    """That does not fit what is recorded already."""

    exit_code = EXIT_CONFLICT


class DuplicatePartError(ConflictError):
    """A part of that number is recorded already."""

    default_remedy = "Part numbers are unique; use `mfgviz revisions add` for a new revision of it."


class DuplicateRevisionError(ConflictError):
    """That revision of the part is recorded already."""

    default_remedy = "Choose the next revision label."


class DuplicateModelError(ConflictError):
    """A model of that name is recorded already."""

    default_remedy = "Choose another name, or `mfgviz models remove NAME` first."


class DuplicateRuleError(ConflictError):
    """There is a rule of that name already."""

    default_remedy = "Choose another name, or remove that one: `mfgviz rules remove NAME`."


class DuplicateTokenError(ConflictError):
    """A token of that name is there already."""

    default_remedy = (
        "Choose another name. A revoked token keeps its name, so that the audit trail stays plain."
    )


class DuplicateWebhookError(ConflictError):
    """A webhook of that name is there already."""

    default_remedy = "Choose another name, or `mfgviz webhooks remove NAME` first."


class DuplicateHookError(ConflictError):
    """An inbound hook of that name is there already."""

    default_remedy = "Choose another name, or `mfgviz hooks remove NAME` first."


class DuplicateScheduleError(ConflictError):
    """A schedule of that name is there already."""

    default_remedy = "Choose another name, or `mfgviz schedules remove NAME` first."


class ScheduleBusyError(ConflictError):
    """The schedule is being run, or waits to be."""

    default_remedy = "`mfgviz schedules show NAME` says how it stands."


class HookDisabledError(ConflictError):
    """The inbound hook is disabled."""

    default_remedy = "`mfgviz hooks enable NAME` lets it take messages again."


class MessageReplayedError(ConflictError):
    """That message came before."""

    default_remedy = "Nothing was done for this copy. A new message needs an id, or a content, of its own."


class IdempotencyKeyReusedError(ConflictError):
    """That Idempotency-Key came with another request before."""

    default_remedy = "Use a new key for each new request, and the same one only to send a request again."


class RevisionFrozenError(ConflictError):
    """A released or obsolete revision does not change."""

    default_remedy = "Add a new revision instead."


class IllegalMoveError(ConflictError):
    """That move is not allowed from the state it is in."""


class ApprovalRequiredError(ConflictError):
    """The picture must be approved first, by somebody who may approve it."""

    default_remedy = "Ask somebody who may review to look at it: `mfgviz renders approve ID`."


class NoApprovedImageError(ConflictError):
    """The revision has no approved image, and is not released without one."""

    default_remedy = "`mfgviz renders approve ID` approves a render."


class AlreadyRunningError(ConflictError):
    """mfgviz is running on that data folder already."""

    default_remedy = "Stop the other `mfgviz up` (Ctrl-C in its terminal), or choose another MFGVIZ_DATA_DIR."


class NotEmptyError(ConflictError):
    """The installation holds something already."""

    default_remedy = "With --force it is kept aside, whole, and replaced."


class NewerBackupError(ConflictError):
    """The backup was made by a newer version."""

    default_remedy = "Install that version of mfgviz, then restore."


class IncompleteBackupError(ConflictError):
    """Blobs that rows name are missing or damaged, and so they are in the backup."""

    default_remedy = "`mfgviz db check --repair` says what misses them, and mends what can be."


class DamagedError(ConflictError):
    """The check found damage."""

    default_remedy = "`mfgviz db check --repair` mends what can be."


class AmbiguousFileError(ConflictError):
    """Two files name the same part revision."""

    default_remedy = "Leave one of them there."


class LeaseLostError(ConflictError):
    """The lease on the job was lost: another worker has it, or it was cancelled."""


# -- who may do what, and how much of it ------------------------------------------------------------
class UnauthenticatedError(MfgvizError):
    """The request carries no token that is known here."""

    exit_code = EXIT_FORBIDDEN
    default_remedy = "Ask an admin for one: `mfgviz tokens create NAME --role engineer`."


class WrongSignatureError(UnauthenticatedError):
    """The message is not signed with the hook's secret."""

    default_remedy = (
        "Sign id, timestamp and the body as it is sent; `mfgviz hooks rotate NAME` makes a new secret."
    )


class MessageTooOldError(UnauthenticatedError):
    """The message's timestamp is not of now."""

    default_remedy = "Sign each try anew, in seconds since 1970 UTC; check the clocks of both hosts."


class ForbiddenError(MfgvizError):
    """That token may not do this."""

    exit_code = EXIT_FORBIDDEN


class TooManyError(MfgvizError):
    """More than is allowed at a time."""

    exit_code = EXIT_CONFLICT

    def __init__(
        self, message: str | None = None, *, remedy: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class TooManyRequestsError(TooManyError):
    """That token sends requests faster than is allowed."""

    default_remedy = "Wait as long as Retry-After says; MFGVIZ_REQUESTS_PER_MINUTE is the limit."


class QueueFullError(TooManyError):
    """That requester has as many waiting jobs as are allowed."""

    default_remedy = "Wait until some are done, or cancel some; MFGVIZ_QUEUED_JOBS_MAX is the limit."


# -- input that cannot be used -------------------------------------------------------------------
class InvalidInputError(MfgvizError):
    """That input cannot be used."""

    exit_code = EXIT_INVALID


class InvalidRequestError(InvalidInputError):
    """That render request cannot be made."""


class InvalidSettingError(InvalidInputError):
    """That setting cannot be used."""

    default_remedy = "`mfgviz config show` lists every setting, its value and where it came from."


class InvalidFilterError(InvalidInputError):
    """The filter cannot be read."""

    default_remedy = "Write it as in: part.attributes.category == 'bracket' and revision.state == 'released'"


class UnknownFieldError(InvalidFilterError):
    """The filter names a field that nothing has."""


class MatchesEverythingError(InvalidFilterError):
    """It would apply to everything, and does not say that it may."""

    default_remedy = "Say what it is for (--where), or that everything is meant (--all)."


class PromptTemplateError(InvalidInputError):
    """The prompt's fields cannot be filled in."""


class MissingFieldError(PromptTemplateError):
    """A field of the prompt has no value for the revision."""

    default_remedy = "`mfgviz revisions show PART@REVISION` shows the fields that have one."


class OutOfBoundsSizeError(InvalidRequestError):
    """The image size is not one the model can make."""


class UnknownSamplerError(InvalidRequestError):
    """There is no such sampler."""


class UnsupportedModeError(InvalidRequestError):
    """The model cannot render that way."""


class InvalidModelError(InvalidInputError):
    """The model folder cannot be used."""


class PickledWeightsError(InvalidModelError):
    """The weights are a pickle, which can run code when it is loaded."""

    default_remedy = (
        "Convert them to safetensors (`diffusers` does: save_pretrained(safe_serialization=True))."
    )


class ImageUnreadableError(InvalidInputError):
    """The image cannot be read."""

    default_remedy = "PNG, JPEG and WebP are read."


class UploadTooLargeError(InvalidInputError):
    """The body of the request is larger than allowed."""


class UnknownServerError(InvalidInputError):
    """That is no server of mfgviz."""

    default_remedy = "Give the address that `mfgviz up` prints, such as http://127.0.0.1:8737."


class UnknownEventKindError(InvalidInputError):
    """There is no such kind of event."""

    default_remedy = "`mfgviz events kinds` lists them; `render` stands for all of `render.`."


class InvalidSecretError(InvalidInputError):
    """That cannot be a secret to sign with."""

    default_remedy = "Leave it out for a good one; or give whsec_ and 24 to 64 bytes as base64."


class InvalidWebhookUrlError(InvalidInputError):
    """Nothing can be sent to that URL."""

    default_remedy = "Give an https:// URL, without user name and password."


class ForbiddenAddressError(InvalidWebhookUrlError):
    """The receiver's address is none of the public internet."""

    default_remedy = (
        "Allow its network with MFGVIZ_WEBHOOK_ALLOW_PRIVATE, such as 10.20.0.0/16, if it is meant."
    )


class InvalidMappingError(InvalidInputError):
    """That mapping cannot be used."""

    default_remedy = "docs/webhooks.md shows what a mapping may hold."


class InvalidMessageError(InvalidInputError):
    """The message cannot be read as JSON."""

    default_remedy = "Send one JSON object, as UTF-8."


class MappingMissError(InvalidInputError):
    """The message does not hold what the hook's mapping looks for."""

    default_remedy = "Change what the sender sends, or the hook's mapping: `mfgviz hooks show NAME`."


class InvalidScheduleError(InvalidInputError):
    """That schedule cannot be used."""

    default_remedy = "`mfgviz schedules tasks` lists the tasks and their arguments."


class BrokenConnectorError(InvalidInputError):
    """The connector cannot be loaded."""

    default_remedy = "Install the package that brings it again, in a version for this mfgviz."


class InvalidFileNameError(InvalidInputError):
    """The file's name does not say which part revision it is."""

    default_remedy = "Name it NUMBER_REVISION and the format's extension, such as BRK-0042_A.step."


class NoRegularFileError(InvalidInputError):
    """That is no regular file."""

    default_remedy = "Put the file itself there: links, folders, pipes and devices are not followed."


class InvalidSidecarError(InvalidInputError):
    """The JSON file beside the CAD file cannot be used."""


class InvalidBackupError(InvalidInputError):
    """There is no backup of mfgviz that can be used."""

    default_remedy = "Name a folder that `mfgviz db backup` wrote."


class BulkInputError(InvalidInputError):
    """Some lines of the file could not be used."""


class BomError(InvalidInputError):
    """The bill of material cannot be taken in."""

    default_remedy = "Mend the line and import the whole file again; nothing was imported."


class UnreadableBomError(BomError):
    """The file is no bill of material."""

    default_remedy = (
        "CSV with the head parent,child,quantity or parent,child,quantity,position, or a JSON object a line."
    )


class UnknownBomPartError(BomError):
    """A line names a part or revision that there is not."""

    default_remedy = "Add it first: `mfgviz parts import`, `mfgviz revisions add`."


class BomQuantityError(BomError):
    """A quantity is not a number above zero."""

    default_remedy = "Leave out the lines of what is not there; a quantity is a number above zero."


class DuplicateBomLineError(BomError):
    """Two lines are of the same child at the same position."""

    default_remedy = "Add their quantities up in one line, or give each a position."


class BomCycleError(BomError):
    """A part would contain itself."""

    default_remedy = "Take one of these lines out."


# -- geometry ---------------------------------------------------------------------------------------
class GeometryError(InvalidInputError):
    """The CAD file cannot be used."""


class GeometryNotFoundError(GeometryError):
    """There is no such CAD file."""

    exit_code = EXIT_NOT_FOUND


class EmptyGeometryError(GeometryError):
    """The CAD file is empty."""


class UnknownFormatError(GeometryError):
    """The file is of no CAD format that mfgviz reads."""

    default_remedy = (
        "Export STEP from the CAD program; IGES, BREP, STL, OBJ, PLY, GLB, 3MF and FCStd are read too."
    )


class FormatMismatchError(GeometryError):
    """The file's extension says another format than its content."""

    default_remedy = "Rename the file to the format it really has."


class UnreadableGeometryError(GeometryError):
    """The CAD file is damaged or truncated."""

    default_remedy = "Export it from the CAD program again."


class NoSolidsError(GeometryError):
    """The CAD file holds no solid or surface that could be shown."""

    default_remedy = "Select a body before exporting; sketches and construction geometry have no picture."


class GeometryTooLargeError(GeometryError):
    """The CAD file is larger than allowed."""

    default_remedy = "Raise MFGVIZ_GEOMETRY_MAX_BYTES, or simplify the part."


class MeshTooLargeError(GeometryError):
    """The CAD file's mesh has more triangles than allowed."""

    default_remedy = "Raise MFGVIZ_GEOMETRY_MAX_TRIANGLES, or simplify the part."


class NothingInViewError(InvalidRequestError):
    """The camera does not see the part."""


class TessellationTimeoutError(GeometryError):
    """The CAD file was not read in time."""

    default_remedy = "Raise MFGVIZ_TESSELLATION_TIMEOUT_S, or export the part again with healed surfaces."


class TessellationMemoryError(GeometryError):
    """Reading the CAD file needed more memory than allowed."""

    default_remedy = "Raise MFGVIZ_TESSELLATION_MEMORY_BYTES, or simplify the part."


class ToolMissingError(MfgvizError):
    """A program that this needs is not installed."""

    exit_code = EXIT_UNAVAILABLE


class ToolFailedError(MfgvizError):
    """A program of the worker side ended without an answer."""

    default_remedy = "Look at the log; where memory ran out, make room or ask for less."


# -- services that do not answer ----------------------------------------------------------------------
class UnavailableError(MfgvizError):
    """A service does not answer."""

    retryable = True
    exit_code = EXIT_UNAVAILABLE


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer."""

    default_remedy = "Check MFGVIZ_DATABASE_URL; `mfgviz doctor` tries every service."


class ContentionError(UnavailableError):
    """Others were changing the same rows at the same time, and the database chose to let them pass."""

    default_remedy = "Nothing was changed. Try again."


class FolderUnavailableError(UnavailableError):
    """The watched folder cannot be read."""

    default_remedy = "Check that it is there (a network share that is mounted), and its permissions."


class DatabaseNotMigratedError(MfgvizError):
    """The database's tables are not those of this version."""

    exit_code = EXIT_UNAVAILABLE
    default_remedy = "Run `mfgviz db upgrade`."


class BrokerUnavailableError(UnavailableError):
    """The message broker does not answer."""

    default_remedy = "Check MFGVIZ_BROKER_URL. Submitted jobs are safe: they start once it answers."


class StorageUnavailableError(UnavailableError):
    """The blob store cannot be read or written."""

    default_remedy = "Check MFGVIZ_BLOB_URL, its permissions and the free space there."

    @classmethod
    def of_folder(cls, folder: Path, error: OSError) -> StorageUnavailableError:
        """For a folder that cannot be written."""
        remedy = "Look for free space and permissions there, or name another folder."
        return cls(f"{folder} cannot be written: {error.strerror}.", remedy=remedy)


class BlobDamagedError(StorageUnavailableError):
    """A blob's content is not that of its digest."""

    default_remedy = (
        "Restore it from a backup; `mfgviz db check --verify --repair` mends what can be made again."
    )


class ServerUnavailableError(UnavailableError):
    """The server does not answer."""

    default_remedy = "Check the address; `mfgviz up` or `mfgviz serve` starts a server."


class DeliveryFailedError(UnavailableError):
    """The receiver did not take the message."""

    default_remedy = "Mend the receiver; `mfgviz webhooks replay NAME --dead` sends what it missed."


class PortTakenError(UnavailableError):
    """Another program listens on that port."""

    default_remedy = "Choose another: MFGVIZ_API_PORT, or 0 for any that is free."


class NoWorkerError(UnavailableError):
    """No worker is running."""

    default_remedy = "Run `mfgviz up`, or `celery -A workers.app worker -Q gpu,cpu` on a host."


# -- rendering ------------------------------------------------------------------------------------------
class RenderError(MfgvizError):
    """The render failed."""

    exit_code = EXIT_JOB_FAILED


class OutOfMemoryError(RenderError):
    """The device has not enough memory for this size."""


class WorkerLostError(RenderError):
    """The worker stopped answering: it died, was cut off, or was stopped by force."""

    retryable = True


class JobCrashesWorkersError(RenderError):
    """Workers died each time they ran the job."""

    default_remedy = (
        "Look into their logs and the kernel's (memory?); `mfgviz jobs retry ID` when the cause is mended."
    )


class BrokenImageError(RenderError):
    """The model made an image that is not a picture (not-a-number values)."""

    retryable = True


class JobFailedError(RenderError):
    """The job failed."""


class JobCancelledError(MfgvizError):
    """The job was cancelled."""

    exit_code = EXIT_JOB_CANCELLED


class ShutdownError(MfgvizError):
    """The worker is shutting down; the job was handed back to the queue."""

    retryable = True


class TimeLimitError(RenderError):
    """The job ran longer than its time limit."""

    retryable = True


# -- export and verification ------------------------------------------------------------------------------
class NotOursError(InvalidInputError):
    """The image carries no mfgviz record."""


class ReplayDiffersError(ConflictError):
    """The replayed render is not bit-equal to the original."""

    default_remedy = "Bit-equal pictures need the same software, device and number of threads."


class AlteredImageError(InvalidInputError):
    """The image's pixels are not the ones that were recorded."""


def error_of(plain: dict[str, str]) -> MfgvizError:
    """The error that a JSON answer stands for, of the class that its code names."""
    kinds = [MfgvizError]
    for kind in kinds:
        if kind.code == plain.get("code"):
            return kind(plain.get("message"), remedy=plain.get("remedy", ""))
        kinds.extend(kind.__subclasses__())
    return MfgvizError(plain.get("message"), remedy=plain.get("remedy", ""))
