"""``python -m sidecar``: the same as the ``sidecar`` command."""

import sys

from sidecar.cli.main import main

sys.exit(main())
