#!/usr/bin/env python3
"""Takes the programs out of README.md: each block ```cpp NAME becomes DIRECTORY/readme_NAME.cc.

usage: readme_examples.py README.md DIRECTORY
"""

import pathlib
import re
import sys


def main(readme, directory):
    text = pathlib.Path(readme).read_text(encoding="utf-8")
    for name, code in re.findall(r"^```cpp (\w+)\n(.*?)^```$", text, re.M | re.S):
        path = pathlib.Path(directory) / f"readme_{name}.cc"
        if not path.exists() or path.read_text(encoding="utf-8") != code:
            path.write_text(code, encoding="utf-8")


main(*sys.argv[1:])
