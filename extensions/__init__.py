"""Other families of super-resolution on the same data, tests and notebooks: A2N, SRDiff and SR3.

Importing this package makes their networks known to ``inference.load_generator``.  Nothing at the
top level needs it.
"""

from extensions import a2n, sr3, srdiff  # noqa: F401  they register themselves
