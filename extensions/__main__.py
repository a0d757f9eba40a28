"""python -m extensions METHOD: see extensions/train.py."""

import sys

from extensions.train import main

if __name__ == "__main__":
    sys.exit(main())
