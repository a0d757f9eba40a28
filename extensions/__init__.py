"""Other families of super-resolution on the same data, tests and notebooks: A2N, SRDiff and SR3.

Importing this package makes their networks known to ``checkpoints.load_generator``, and their
names to the figures.  Nothing at the top level needs it.
"""

import config
from extensions import a2n, sr3, srdiff  # noqa: F401  they register themselves
from support import figures

# Name of a stage -> its title, and the colour of its curves.
NAMES = {"a2n": ("A2N", "tab:green"), "srdiff_encoder": ("SRDiff's encoder", "tab:olive"),
         "srdiff": ("SRDiff", "tab:red"), "sr3": ("SR3", "tab:purple")}
for name, (title, colour) in NAMES.items():
    figures.METHOD_TITLES[name] = figures.TITLES[name] = title
    figures.COLOURS[name] = colour

# The sources' figures that are by the kit's protocol (trained on DIV2K); the others are in docs/extensions.md.
config.PUBLISHED["A2N"] = {"Set5": (32.269, 0.8959), "Set14": (28.750, 0.7868)}
