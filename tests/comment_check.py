#!/usr/bin/env python3
"""Finds comments that a formatter has broken: a word that was pushed out of a hanging paragraph and
stands alone at the margin, between a line that is full and one that is indented further.

    // Owner:   the pool must outlive the channel; calls
    // that
    //          are open then end.

usage: comment_check.py ROOT          check the sources of ROOT; exit 1 and one line for each find
       comment_check.py --self-test   show that one is found, and a table is not
"""

import pathlib
import re
import sys
import tempfile

COMMENT = re.compile(r"^\s*//( *)(\S.*)?$")
FOLDERS = ("src", "sim", "tests", "bench")
# Words that stand alone have no more than this; a table's short line ends its row.
WORDS_MAX = 2


def broken_lines(lines):
    """The numbers, from 1, of the lines that were pushed out of their paragraph."""
    found = []
    for number, (before, line, after) in enumerate(zip(lines, lines[1:], lines[2:]), start=2):
        parts = [COMMENT.match(text) for text in (before, line, after)]
        if not all(part and part.group(2) for part in parts):
            continue
        indents = [len(part.group(1)) for part in parts]
        words = parts[1].group(2).split()
        if len(words) <= WORDS_MAX and indents[1] <= indents[0] and indents[2] > indents[1] + 3:
            if not words[-1].endswith((".", ":")):
                found.append(number)
    return found


def check(root):
    finds = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            for number in broken_lines(path.read_text(encoding="utf-8").splitlines()):
                finds.append(f"{path.relative_to(root)}:{number}: a word fell out of its paragraph")
    return finds


def self_test():
    broken = "// Owner:   the pool must outlive the channel; calls\n// that\n//          are open end.\n"
    table = "// A table of states:\n//   kProbe     one append\n//   kSnapshot  none\n"
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "src").mkdir()
        (root / "src" / "a.h").write_text(broken + table, encoding="utf-8")
        finds = check(root)
    assert len(finds) == 1 and finds[0].startswith("src/a.h:2:"), finds


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 2:
        wrong = check(pathlib.Path(sys.argv[1]))
        print("\n".join(wrong) or "no comment is broken")
        sys.exit(1 if wrong else 0)
    else:
        sys.exit(__doc__)
