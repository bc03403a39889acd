"""``maquette.app.worker`` with coarse fields, as the fixture ``coarse_fields`` makes them; started
as a program of its own.
"""

import sys

from maquette.app import worker
from maquette.execute.processes import end_with_parent
from maquette.stages import fuse

end_with_parent()
fuse.RESOLUTION = 64
fuse.PIXELS = 384
sys.exit(worker.main())
