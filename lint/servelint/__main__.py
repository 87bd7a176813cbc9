"""``python -m servelint``."""

from __future__ import annotations

import os
import sys

# With -m Python puts the working directory first on the path. It is the repository under review: nothing of it is to be
# imported, neither a module of its own named yaml nor a plugin that it claims to have installed.
if not sys.flags.safe_path and sys.path and sys.path[0] == os.getcwd():
    del sys.path[0]

from servelint.cli.main import program

if __name__ == "__main__":
    program()
