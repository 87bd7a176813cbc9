"""Instance types of clouds: their accelerators, host, network and list price, each with its source."""

from __future__ import annotations

import json
from dataclasses import dataclass

from servelint.catalogue import data_files

_FILE = "instances.records"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One machine type. ``None`` is unknown.

    ``accelerator`` is a name of the accelerator catalogue where it has that part. ``count``: devices; a fraction where the cloud
    sells shares of one, 0 where such a share is no device that a pod could ask for, None where the source counts a share as
    one. ``memory_mib`` is the host's. ``usd_per_hour`` is on demand for the whole instance, ``price_note`` its region and date.
    """

    name: str
    cloud: str
    accelerator: str
    count: float | None
    vcpus: int | None
    memory_mib: int | None
    network_gbps: float | None
    local_nvme_gb: int | None
    usd_per_hour: float | None
    price_note: str
    note: str
    source: str


def find(text: str) -> InstanceType | None:
    """The instance type of that name, in any case; None if it is not in the catalogue."""
    line = data_files.line_of(_FILE, text.strip())
    return None if line is None else InstanceType(**json.loads(line))


def names() -> list[str]:
    """Every instance type as its cloud spells it, sorted without regard to case."""
    return data_files.names_in(_FILE)


def suggest(text: str) -> list[str]:
    """Names of instance types that look like ``text``, best first."""
    return data_files.nearest(text, names())
