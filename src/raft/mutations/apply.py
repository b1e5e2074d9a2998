#!/usr/bin/env python3
"""Copies a folder's sources and puts every mutation (its mutations/*.diff) into the copies.

usage: apply.py OUT FILE ...    in src/raft or src/replica: copy each FILE to OUT, with all mutations
       apply.py --self-test     show that each kind of wrong diff is found

Exit status 1, and the name of each diff that does not fit any more: README.md.
"""

import pathlib
import re
import sys
import tempfile

FOLDER = pathlib.Path.cwd()
LIST = "mutation.h"
SWITCH = re.compile(r"\bMUTATED\((\w+)\)")


class Misfit(Exception):
    """A diff, or a source, that is not as it must be."""


def read_diff(path):
    """The hunks of a diff, in order: (file, lines before, lines after)."""
    hunks = []
    file = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("--- "):
            file = line[4:]
        elif line == "@@" and file is not None:
            hunks.append((file, [], []))
        elif line[:1] in (" ", "-", "+") and hunks:
            if line[0] != "+":
                hunks[-1][1].append(line[1:])
            if line[0] != "-":
                hunks[-1][2].append(line[1:])
        else:
            raise Misfit(f"{path.name}:{number}: neither '--- FILE', '@@' nor a line of a hunk")
    return hunks


def check_switch(path, hunks):
    """A diff must be switched by its own mutation, in each file, and by no other one."""
    for file in {file for file, _, _ in hunks}:
        after = "\n".join(line for f, _, lines in hunks if f == file for line in lines)
        others = set(SWITCH.findall(after)) - {path.stem}
        if others:
            raise Misfit(f"{path.name}: it speaks of {', '.join(sorted(others))}")
    if not any(f"MUTATED({path.stem})" in line for _, _, lines in hunks for line in lines):
        raise Misfit(f"{path.name}: nothing in it is switched by MUTATED({path.stem})")


def replace(lines, before, after, where):
    """`lines` with `before`, which must be there exactly once, replaced by `after`."""
    places = [i for i in range(len(lines)) if before and lines[i : i + len(before)] == before]
    if len(places) != 1:
        text = "\n".join("    " + line for line in before)
        raise Misfit(f"{where}: these lines must be there once, and are {len(places)} times:\n{text}")
    return lines[: places[0]] + after + lines[places[0] + len(before) :]


def apply(path, copies):
    """Changes `copies` (file -> lines) as the diff says."""
    hunks = read_diff(path)
    check_switch(path, hunks)
    for file, before, after in hunks:
        if file not in copies:
            raise Misfit(f"{path.name}: no source {file}")
        copies[file] = replace(copies[file], before, after, f"{path.name}: {file}")


def include_switches(lines, folder):
    """`lines` with the include that MUTATED needs before the first one."""
    first = next(i for i, line in enumerate(lines) if line.startswith("#include"))
    return lines[:first] + [f'#include "{folder}/mutations/{LIST}"', ""] + lines[first:]


def mutate(sources, diffs, names, folder):
    """The texts of `sources` (file -> text) with all of `diffs` in them."""
    copies = {file: text.splitlines() for file, text in sources.items()}
    diffs = sorted(diffs)
    misfits = []
    for file, text in sources.items():
        if SWITCH.search(text):
            misfits.append(f"{file}: a mutation belongs into a diff, not into the rules")
    differing = set(names) ^ {path.stem for path in diffs}
    if differing:
        misfits.append(f"{LIST} and the diffs differ: {', '.join(sorted(differing))}")
    for path in diffs:
        try:
            apply(path, copies)
        except Misfit as misfit:
            misfits.append(str(misfit))
    if misfits:
        raise Misfit("\n".join(misfits))
    for file, lines in copies.items():
        if SWITCH.search("\n".join(lines)):
            copies[file] = include_switches(lines, folder)
    return {file: "\n".join(lines) + "\n" for file, lines in copies.items()}


def write_if_changed(path, text):
    """So that nothing is compiled again for a diff that did not concern it."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def self_test():
    """Each kind of wrong diff is found, and a right one is applied."""
    source = {"a.cc": '#include "b.h"\nint F() {\n  return 1;\n}\nint G() {\n  return 1;\n}\n'}
    good = "--- a.cc\n@@\n int F() {\n+  if (MUTATED(kOne)) return 2;\n"
    wrong = {
        "these lines must be there once, and are 2 times": good.replace(" int F() {", "   return 1;"),
        "these lines must be there once, and are 0 times": good.replace("F()", "H()"),
        "nothing in it is switched": good.replace("MUTATED(kOne)", "true"),
        "it speaks of kTwo": good.replace("kOne", "kTwo"),
        "no source b.cc": good.replace("a.cc", "b.cc"),
        "neither": good + "what is this\n",
    }
    with tempfile.TemporaryDirectory() as directory:
        diff = pathlib.Path(directory) / "kOne.diff"

        def outcome(text, sources=None, names=("kOne",)):
            diff.write_text(text)
            try:
                return mutate(sources or source, [diff], names, "raft")["a.cc"]
            except Misfit as misfit:
                return str(misfit)

        assert "int F() {\n  if (MUTATED(kOne)) return 2;\n  return 1;" in outcome(good)
        assert outcome(good).startswith('#include "raft/mutations/mutation.h"\n')
        for message, text in wrong.items():
            assert message in outcome(text), (message, outcome(text))
        assert "differ: kTwo" in outcome(good, names=("kOne", "kTwo"))
        mutated = {"a.cc": source["a.cc"] + "bool a = MUTATED(kOne);\n"}
        assert "not into the rules" in outcome(good, mutated)
    print("ok", flush=True)


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    out = pathlib.Path(arguments[0])
    files = [pathlib.Path(file) for file in arguments[1:]]
    mutations = FOLDER / "mutations"
    names = re.findall(r"^  X\((\w+),", (mutations / LIST).read_text(), re.MULTILINE)
    sources = {file.name: file.read_text() for file in files}
    try:
        copies = mutate(sources, mutations.glob("*.diff"), names, FOLDER.name)
    except Misfit as misfit:
        sys.exit(f"{misfit}\nsrc/raft/mutations/README.md says how to make a diff fit again.")
    out.mkdir(parents=True, exist_ok=True)
    for file, text in copies.items():
        write_if_changed(out / file, text)


if __name__ == "__main__":
    main(sys.argv[1:])
