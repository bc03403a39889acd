"""``python -m maquette.simulation.coacd_worker GIVEN.npz MADE.npz SETTINGS SECONDS``: one mesh into
convex parts. A process of its own, because the library may end it, and so that its processor time
can be limited.
"""

from __future__ import annotations

import json
import sys

import numpy as np


def main(
    given: str,
    made: str,
    settings: str,
    seconds: str,
) -> None:
    """Write the corners of each part to ``made``, in their order; ends itself by SIGXCPU when the
    processor's time is over.
    """
    if sys.platform != "win32":
        import resource

        spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # on starting
        limit = int(spent + float(seconds)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    import coacd  # of the extra "sim"

    coacd.set_log_level("error")
    with np.load(given) as archive:
        mesh = coacd.Mesh(archive["vertices"], archive["faces"])
    parts = coacd.run_coacd(mesh, seed=0, **json.loads(settings))
    corners = [np.asarray(vertices) for vertices, _ in parts]
    np.savez(made, *corners)


if __name__ == "__main__":
    main(*sys.argv[1:])
