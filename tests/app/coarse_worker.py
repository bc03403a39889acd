"""``maquette.app.worker`` with coarse fields, as the fixture ``coarse_fields`` makes them; started
as a program of its own.
"""

import sys

from maquette.app import worker
from maquette.execute.processes import end_with_parent
from maquette.stages import finish, fuse, texture

end_with_parent()
fuse.RESOLUTION = 64
fuse.PIXELS = 256
finish.MOST_TRIANGLES = 3000
texture.NEIGHBOURS = 20
sys.exit(worker.main())
