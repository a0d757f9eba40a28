"""super_resolution.py with the networks of the extensions.

    python -m extensions.super_resolution photo.jpg --weights a2n-small-x4
"""

import sys

from super_resolution import main  # importing the package has registered its networks

if __name__ == "__main__":
    sys.exit(main())
