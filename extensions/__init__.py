"""Other families of super-resolution on the same data, tests and notebooks: A2N, SRDiff, SR3; public SRGANs of others.

Importing this package registers their networks, so that ``inference.load_generator`` knows them.
Nothing at the top level needs it.
"""

from extensions import a2n, public_networks, sr3, srdiff  # noqa: F401  they register themselves
