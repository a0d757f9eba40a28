"""Solution regions: what the student edition leaves out, and what it shows instead.

In Python, in a file or in a code cell of a notebook:

    ### BEGIN SOLUTION
    answer = 42
    ### REPLACED BY
    # raise NotImplementedError("the answer to everything")
    ### END SOLUTION

Each line of the replacement begins with "# "; without ``### REPLACED BY`` the region is left out.  In
Markdown the marks are comments, and the replacement stands inside one:

    <!-- ### BEGIN SOLUTION -->
    The answer is 42.
    <!-- ### REPLACED BY
    What is the answer?
    ### END SOLUTION -->
"""

import copy
import re

BEGIN, REPLACED, END = "### BEGIN SOLUTION", "### REPLACED BY", "### END SOLUTION"


class RegionError(ValueError):
    """Marks that do not match; the message names the file and the line."""


def split(text, origin, markdown=False):
    """Split a text into what students see and what they must not see.

    Args:
        origin: the name of the file, for errors.
        markdown: whether replacements stand as they are, without "# ".

    Returns:
        (text without solutions, list of the lines of the solutions)

    Raises:
        RegionError: for a mark without its partner, a region inside a region, or a
            replacement in Python that is not a comment.
    """
    shown, hidden, state, opened = [], [], None, 0
    for number, line in enumerate(text.split("\n"), start=1):
        mark = next((mark for mark in (BEGIN, REPLACED, END) if mark in line), None)
        place = f"{origin}, line {number}"
        if mark is None:
            if state == REPLACED:
                shown.append(line if markdown else _uncommented(line, place))
            else:
                (hidden if state == BEGIN else shown).append(line)
            continue
        wanted = {BEGIN: (None,), REPLACED: (BEGIN,), END: (BEGIN, REPLACED)}[mark]
        if state not in wanted:
            where = f"the region that begins at line {opened} is still open" if state else "no region is open"
            raise RegionError(f"{place}: {mark!r} cannot stand here: {where}.")
        state, opened = (None if mark == END else mark), number if mark == BEGIN else opened
    if state:
        raise RegionError(f"{origin}: the region that begins at line {opened} has no {END!r}.")
    return "\n".join(shown), hidden


def _uncommented(line, place):
    match = re.fullmatch(r"(\s*)#(?: (.*))?", line)
    if line.strip() and not match:
        raise RegionError(f"{place}: a replacement has to begin with '# ': {line.strip()!r}.")
    return f"{match[1]}{match[2]}" if match and match[2] else ""


def split_notebook(notebook, origin):
    """The same for all cells of a notebook, without outputs; a cell of which nothing is left is dropped.

    Returns:
        (a new notebook, list of the lines of the solutions)
    """
    result, cells, hidden = copy.deepcopy(notebook), [], []
    for number, cell in enumerate(result.cells, start=1):
        is_empty = not cell.source.strip()
        text, solution = split(cell.source, f"{origin}, cell {number}", cell.cell_type == "markdown")
        cell.source = text.strip("\n")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.source.strip() or is_empty:
            cells.append(cell)
        hidden += solution
    result.cells = cells
    return result, hidden
