"""super_resolution.py, with the networks of the extensions too.

    python -m extensions.super_resolution photo.jpg --weights a2n-small-x4
"""

import sys

from super_resolution import main  # this file is in the package, whose import has made its networks known

if __name__ == "__main__":
    sys.exit(main())
