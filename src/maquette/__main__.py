"""``python -m maquette`` is the command line."""

import sys

from maquette.cli import main

sys.exit(main())
