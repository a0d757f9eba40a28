"""What several tests of the course share."""

import pytest

from course.release import release


@pytest.fixture(scope="session")
def edition(tmp_path_factory):
    """The student edition of this repository; ``hidden.zip`` lies beside it.  Do not write into it."""
    folder = tmp_path_factory.mktemp("release")
    release(folder / "edition", folder / "hidden.zip")
    return folder / "edition"
