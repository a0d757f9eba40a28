"""Each test starts without a run: a notice must not be kept in the run folder of the test before."""

import pytest

from support.messages import keep_notices


@pytest.fixture(autouse=True)
def no_run_folder():
    keep_notices(None)
    yield
    keep_notices(None)
