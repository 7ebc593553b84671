"""Tables in Markdown."""

from legato.lab.markdown import table


def test_cells_cannot_break_the_table() -> None:
    assert table(["a", "b"], [["1|2", "x\ny"], ("3", "")]) == "| a | b |\n| --- | --- |\n| 1\\|2 | x y |\n| 3 |  |"
