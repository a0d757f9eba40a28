"""What tells two files apart is their content: names, sizes and dates can all be equal (no torch here)."""

import hashlib

BLOCK = 2**20


def content_hash(path):
    """The SHA-256 of a file's content: 64 hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def same_content(first, second):
    """Whether two files hold the same bytes; files of different sizes are not read."""
    return first.stat().st_size == second.stat().st_size and content_hash(first) == content_hash(second)
