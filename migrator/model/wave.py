"""What a wave is asked to do, and what each of its steps answers.

Values that cross Temporal: fields have defaults, because workflow histories hold them, and none names a tenant. Those
are kept on classic under the wave's number.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.blocker import Blocker


@dataclass(frozen=True, slots=True)
class WaveProgress:
    """Where a wave goes on whose history has become long.

    Attributes:
        ramped: steps of its ramp that are over.
        advanced: the one that is not has moved its reads.
        soaked_s, since_s: of its soak, as in the answer of the last look at it.
        left: tenants that read from Limitless, after the last soak.
    """

    ramped: int = 0
    advanced: bool = False
    soaked_s: float = 0
    since_s: float = 0
    left: int = 0
    rolled_back: int = 0
    deferred: int = 0
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class WaveInput:
    """Everything a wave has to know. soak_s and baseline_s: seconds. late: sign-ups after the last wave. progress: of
    an earlier run; None: it begins."""

    plan: str
    number: int
    ramp_pct: tuple[int, ...] = (100,)
    hot: bool = False
    soak_s: float = 0
    baseline_s: float = 0
    late: bool = False
    progress: WaveProgress | None = None


@dataclass(frozen=True, slots=True)
class NextWave:
    """What the cutover does next: exactly one of wave, held, approval and done.

    Attributes:
        held: why nothing may move now, for example an operator's rollback.
        approval: gate to wait for before this wave; empty when none.
        waiting: tenants that wait for a wave.
    """

    wave: WaveInput | None = None
    held: str = ""
    blockers: tuple[Blocker, ...] = ()
    done: bool = False
    approval: str = ""
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class WaveGate:
    """Tenants of a wave that may go, and those that were left to a later one."""

    ready: int = 0
    deferred: int = 0
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Advanced:
    """done: the step is in force for every process. held: an operator moved reads the other way."""

    done: bool = False
    text: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did, in one line, and what kept it from doing more."""

    text: str = ""
    blockers: tuple[Blocker, ...] = ()
