import pytest
from tests.testing_server.golden import FILES, FOLDER, rendered


@pytest.mark.parametrize("file", FILES)
def test_the_wire_is_as_recorded(file):
    assert rendered(file) == (FOLDER / file).read_bytes()
