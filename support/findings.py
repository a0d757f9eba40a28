"""What ``--check`` finds: a Finding for each fault, and the facts about a pair that lead to it (no torch here)."""

from collections import namedtuple

# row: number in the list, 0 for the whole list; fails: False for a notice
Finding = namedtuple("Finding", "split row file kind problem remedy fails")
Row = namedtuple("Row", "split number names paths")          # names and paths: (HR, LR)
Facts = namedtuple("Facts", "shape notice kind problem jpeg")
Agreement = namedtuple("Agreement", "psnr correlation shift inner")

NEW_LR = "Delete this LR file and run --make-lr, or fetch the pair again."      # --make-lr never replaces LR of others
