#!/usr/bin/env python3
"""Looks up what docs/known-bugs.md names: tests (`Suite.Name`, `Suite.*`, `*Suite*`), scripts, end-to-end tests and
fuzz targets (`lower_case`), sources (`name_test.cc`) and mutations (kName) must be there.

usage: known_bugs_check.py ROOT          exit 1 and one line for each name that is not there
       known_bugs_check.py --self-test   show that a name which is not there is found
"""

import pathlib
import re
import sys
import tempfile

TEST = re.compile(r"^(?:TEST(?:_F|_P)?|RC_GTEST_PROP|TYPED_TEST)\(\s*(\w+),\s*(\w+)", re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")
SUITE_AND_NAME = re.compile(r"^([A-Z]\w*)\.(\w+|\*)$")
ANY_OF_SUITE = re.compile(r"^\*([A-Z]\w*)\*$")
SCRIPT = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*(\*|_\*)?$")
MUTATION = re.compile(r"\bk[A-Z]\w+")
# Words of other kinds in backticks: settings, and fields of records.
NO_TESTS = {"lincheck", "purpose", "lease_reads", "wal"}


class Tree:
    def __init__(self, root):
        files = [path for folder in ("src", "sim", "tests") for path in (root / folder).rglob("*")]
        self.sources = {path.name for path in files if path.suffix in (".cc", ".h", ".py")}
        self.mutations = {path.stem for path in files if path.suffix == ".diff"}
        self.scripts = {path.stem for path in files if path.suffix == ".txt"}
        self.scripts |= {path.name[: -len("_test.py")] for path in files if path.name.endswith("_test.py")}
        self.scripts |= {path.stem for path in files if path.name.endswith("_fuzz.cc")}
        self.suites = {}
        for path in files:
            if path.name.endswith("_test.cc"):
                for suite, name in TEST.findall(path.read_text(errors="replace")):
                    self.suites.setdefault(suite, set()).add(name)

    def has(self, text):
        """None: it is not a name of any of these kinds."""
        if match := SUITE_AND_NAME.match(text):
            names = self.suites.get(match[1])
            return names is not None and (match[2] == "*" or match[2] in names)
        if match := ANY_OF_SUITE.match(text):
            return match[1] in self.suites
        if text.endswith((".cc", ".h", ".py")):
            return text.rpartition("/")[2] in self.sources
        if SCRIPT.match(text) and text not in NO_TESTS:
            if text.endswith("*"):
                return any(script.startswith(text.rstrip("*")) for script in self.scripts)
            # One word may be anything; a test's name is looked for where one stands alone in a cell.
            return text in self.scripts or ("_" not in text and None)
        return None


def check(root):
    """Names that are not there."""
    tree = Tree(root)
    lines = (root / "docs" / "known-bugs.md").read_text().splitlines()
    missing = []
    for line in lines:
        cells = line.split(" | ")
        if len(cells) < 4:
            continue
        shown = cells[-1]
        missing += [text for text in QUOTED.findall(shown) if tree.has(text) is False]
        missing += [name for name in MUTATION.findall(shown) if name not in tree.mutations]
    return missing


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for folder in ("src/a/mutations", "src/a/testdata", "docs", "tests/e2e"):
            (root / folder).mkdir(parents=True)
        (root / "src/a/b_test.cc").write_text("TEST_F(Suite, Name) {\nTEST(\n    Other, OnTwoLines) {\n")
        (root / "src/a/mutations/kBug.diff").write_text("")
        (root / "src/a/testdata/a_script.txt").write_text("")
        (root / "tests/e2e/some_nodes_test.py").write_text("")
        there = "`Suite.Name`, `Other.OnTwoLines`, `Suite.*`, `*Suite*`, `a_script`, `a_*`, `b_test.cc`, `some_nodes`, kBug"
        gone = "`Suite.Gone`, `Gone.*`, `*Gone*`, `a_gone`, `gone_*`, `gone_test.cc`, kGone"
        (root / "docs/known-bugs.md").write_text(f"| 1 | bug | how | {there}; {gone} |\n")
        expected = ["Suite.Gone", "Gone.*", "*Gone*", "a_gone", "gone_*", "gone_test.cc", "kGone"]
        found = check(root)
        if found != expected:
            sys.exit(f"found {found}, expected {expected}")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    missing = check(pathlib.Path(sys.argv[1]))
    for name in missing:
        print(f"docs/known-bugs.md names {name}, which is not there")
    if missing:
        sys.exit(1)
    print("all that docs/known-bugs.md names is there")


if __name__ == "__main__":
    main()
