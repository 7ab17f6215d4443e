"""Where the runs of a command are done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cerolab.errors import InvalidValueError
from cerolab.tools.settings import CommandLineOnly, Settings, Workers
from sim.experiment.engine import Engine
from sim.experiment.local_engine import run_locally


@dataclass(frozen=True, kw_only=True)
class EngineSettings(Settings):
    """Where the runs are done.

    Parameters
    ----------
    engine
        local: processes of this machine. ray: a Ray cluster, with the extra "ray"; see docs/ray.md.
    workers
        Runs side by side; by default one a core, of this machine or of the cluster.
    address
        A running Ray cluster's, HOST:PORT or auto; by default RAY_ADDRESS, or else Ray is started on this machine
        until the command ends.
    """

    engine: Literal["local", "ray"] = "local"
    workers: Workers | None = None
    address: Annotated[str | None, CommandLineOnly()] = None  # whoever is there can run code here

    def choose(self) -> Engine:
        """The engine.

        Raises:
            InvalidValueError: Ray is not installed, or an address without it.
        """
        if self.engine == "ray":
            from sim.experiment.ray_engine import RayEngine

            return RayEngine(self.address)
        if self.address is not None:
            raise InvalidValueError("address", self.address, "is a Ray cluster's", "add --engine ray, or leave it out")
        return run_locally
