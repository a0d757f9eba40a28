"""What is said of test sets that are not here: one line for all of them."""

from support.lists import how_to_get


def test_one_line_says_how_to_get_all_sets_that_are_not_here():
    line = how_to_get(["Set5", "Set14", "valid"], "data/demo")
    assert line.startswith("Not here: Set5, Set14, valid. ") and "\n" not in line
    assert "`python create_data_lists.py --root data --download benchmark div2k`" in line
    assert 'data_folder = "data"' in line                     # nothing is downloaded into the demo's own folder


def test_a_folder_of_ones_own_stays_and_the_demos_photographs_are_not_downloaded():
    line = how_to_get(["demo", "B100"], "photos")
    assert "--root photos --download benchmark`" in line and "data_folder" not in line
    assert line.startswith("Not here: B100. ")
    assert "data/demo" in how_to_get(["demo"], "data") and "download" not in how_to_get(["demo"], "data")
