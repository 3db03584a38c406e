"""The life of a render job: submit, claim, heartbeat, complete, fail, cancel, sweep.

This package is the only writer of job state. Every move is one UPDATE guarded by the state (and, for
a running job, the lease token) that it moves from; `vocabulary.JOB_MOVES` is the table of the moves.
"""

from mfgviz.jobs.batches import cancel_batch, get_batch, hold, hold_job, queued_jobs, release
from mfgviz.jobs.control import SweepReport, cancel, close_attempts, retry, sweep
from mfgviz.jobs.leases import (
    Claim,
    Claimant,
    ClaimedJob,
    Failure,
    HeartbeatReply,
    NewRendition,
    claim,
    complete,
    confirm_cancel,
    fail,
    hand_back,
    has_work,
    heartbeat,
    look,
    put_off,
)
from mfgviz.jobs.linking import UNCHANGED, Link, link, link_all, usable_origins
from mfgviz.jobs.queries import (
    JobFilter,
    WaitReport,
    get,
    has_other_hosts,
    host_of,
    list_jobs,
    state_counts,
    why,
    why_of,
)
from mfgviz.jobs.standing import Standing, standings, unfinished
from mfgviz.jobs.submission import Submission, Submitted, known, lock_revisions, submit

__all__ = [
    "UNCHANGED",
    "Claim",
    "Claimant",
    "ClaimedJob",
    "Failure",
    "HeartbeatReply",
    "JobFilter",
    "Link",
    "NewRendition",
    "Standing",
    "Submission",
    "Submitted",
    "SweepReport",
    "WaitReport",
    "cancel",
    "cancel_batch",
    "claim",
    "close_attempts",
    "complete",
    "confirm_cancel",
    "fail",
    "get",
    "get_batch",
    "hand_back",
    "has_other_hosts",
    "has_work",
    "heartbeat",
    "hold",
    "hold_job",
    "host_of",
    "known",
    "link",
    "link_all",
    "list_jobs",
    "lock_revisions",
    "look",
    "put_off",
    "queued_jobs",
    "release",
    "retry",
    "standings",
    "state_counts",
    "submit",
    "sweep",
    "unfinished",
    "usable_origins",
    "why",
    "why_of",
]
