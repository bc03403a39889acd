"""Ray Serve runs it: gates that answer requests, and makers, one call for each job. The queue is
the database's; what Serve holds are calls to look into it, and how many of these are open is what
it scales makers by.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from maquette.app.finders import Finders
from maquette.app.server import announcement, listen
from maquette.errors import InputError, MaquetteError
from maquette.execute.cluster import Cluster, connected
from maquette.serve.gate import gate
from maquette.serve.maker import Maker
from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared, tidy_up

NAME = "maquette"
MAKER = "Maker"
DRAIN = 10.0  # seconds that a process which has to go may take; its job is taken by another then
LOGS = {"log_level": "ERROR", "enable_access_log": False}


def deploy(
    settings: ServeSettings,
    announce: Callable[[str], None],
    finders: Finders,
) -> None:
    """Run on a cluster until interrupted. InputError when the address, the data folder, the
    database or the cluster cannot be used, OutputError when the folder cannot be written.
    """
    with listen(settings) as listener:
        port = listener.getsockname()[1]
    settings = dataclasses.replace(settings, port=port)
    studio = open_shared(settings)
    tidy_up(studio)
    studio.close()
    cluster = Cluster(settings.address, settings.num_gpus or 0.0)
    with connected(cluster, 1, settings.num_cpus, [settings.data], _nothing):
        ray = importlib.import_module("ray")
        settings = _sized(settings, ray.cluster_resources())
        if settings.database is None and len([n for n in ray.nodes() if n["Alive"]]) > 1:
            raise InputError(
                "SQLite cannot be shared by several machines; give --database postgresql://..."
            )
        _run(settings, announce, finders)


def _nothing(threads: int) -> None:
    """What workers of ``connected`` would prepare; there are none."""


def _sized(settings: ServeSettings, there: dict[str, float]) -> ServeSettings:
    """With as many workers, and graphics cards for each, as the cluster has. InputError when fewer
    fit than are asked for.
    """
    cards = int(there.get("GPU", 0))
    each = settings.num_gpus
    if each is None:
        each = min(1.0, float(cards))
    room = int(there.get("CPU", 0) // settings.num_cpus)
    if each:
        room = min(room, int(cards / each))
    count = settings.workers or (max(room, 1) if each else 1)
    if count > room:
        raise InputError(f"--workers {count}: the cluster has room for {room}")
    return dataclasses.replace(settings, workers=count, num_gpus=each)


def _run(
    settings: ServeSettings,
    announce: Callable[[str], None],
    finders: Finders,
) -> None:
    ray_serve = importlib.import_module("ray.serve")
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray_serve.start(
        http_options={"host": settings.host.strip("[]"), "port": settings.port},
        logging_config=LOGS,
    )
    try:
        bound = application(ray_serve, settings, finders)
        ray_serve.run(
            bound,
            name=NAME,
            route_prefix="/",
            logging_config=LOGS,
        )
        announce(announcement("maquette serve", settings, settings.port))
        while True:
            time.sleep(1.0)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MaquetteError(f"Ray Serve does not start it ({reason})") from error
    finally:
        ray_serve.shutdown()


def application(ray_serve: Any, settings: ServeSettings, finders: Finders) -> Any:
    """What Ray Serve runs: a gate and the makers that it calls."""
    needs = {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus}
    makers = ray_serve.deployment(
        Maker,
        name=MAKER,
        max_ongoing_requests=1,
        ray_actor_options=needs,
        graceful_shutdown_timeout_s=DRAIN,
        **_scaling(settings),
    )

    def build() -> FastAPI:
        return gate(settings, finders, ray_serve.get_deployment_handle(MAKER, NAME).work.remote)

    gates = ray_serve.deployment(
        ray_serve.ingress(build)(),
        name="Gate",
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.limits.connections,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=DRAIN,
    )
    return gates.bind(makers.bind(settings))


def _scaling(settings: ServeSettings) -> dict[str, Any]:
    least = settings.least_workers
    if least is None or least == settings.workers:
        return {"num_replicas": settings.workers}
    return {
        "autoscaling_config": {
            "min_replicas": least,
            "initial_replicas": max(least, 1),  # somebody has to tell what can be done
            "max_replicas": settings.workers,
            "target_ongoing_requests": 1,
            "downscale_delay_s": settings.idle,
        }
    }
