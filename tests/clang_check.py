#!/usr/bin/env python3
"""clang-tidy over what has changed, and a test of Clang's thread-safety analysis, which is part of
every build by Clang (cmake/MokvTargets.cmake).

usage: clang_check.py tidy BUILD [FILE...]  .clang-tidy on the sources of src/ that have changed in the
                                            last day of commits, or on FILE..., compiled as
                                            BUILD/compile_commands.json says; at most MOKV_TIDY_FILES
                                            (24) of them, the newest first
       clang_check.py --self-test           show that an access without its lock does not compile

Exit status 1, and what Clang says, if there is a finding.
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLANG = "clang++-19"
TIDY = "clang-tidy-19"
CHANGED_SECONDS = 24 * 60 * 60
TIDY_FILES_MAX = int(os.environ.get("MOKV_TIDY_FILES", "24"))


def is_product(path):
    return (
        path.is_relative_to(ROOT / "src")
        and not path.stem.endswith(("_test", "_fuzz"))
        and "testing" not in path.parts
    )


def commands(build):
    """The product's sources, and how each is compiled."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if is_product(path):
            found[path] = entry
    return found


def flags(entry):
    """Include paths and definitions; warnings and code generation are GCC's own."""
    words = shlex.split(entry["command"])
    kept = []
    for i, word in enumerate(words):
        if word.startswith(("-I", "-D", "-std=")) or word in ("-isystem", "-iquote"):
            kept.append(word)
        elif i > 0 and words[i - 1] in ("-isystem", "-iquote"):
            kept.append(word)
    return kept


def run_all(work):
    """Runs (path, command, directory) each; prints what fails. The number of failures."""
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [
            pool.submit(subprocess.run, command, cwd=directory, capture_output=True, text=True)
            for _, command, directory in work
        ]
        for (path, _, _), run in zip(work, runs):
            if run.result().returncode != 0:
                failed += 1
                # clang-tidy counts what it leaves out on stderr, and says what it has found on stdout.
                print(f"== {path.relative_to(ROOT)}\n{run.result().stdout}{run.result().stderr}")
    return failed


# Of cmake/MokvTargets.cmake.
ANALYSIS = ["-Wthread-safety", "-Werror=thread-safety"]


def self_test():
    source = """
      #include "base/mutex.h"
      struct Counter {
        int get() { %s return value; }
        mokv::Mutex mutex;
        int value ABSL_GUARDED_BY(mutex) = 0;
      };
    """
    assert " ".join(ANALYSIS) in (ROOT / "cmake/MokvTargets.cmake").read_text()
    command = [CLANG, "-fsyntax-only", *ANALYSIS, "-std=c++20", "-I", str(ROOT / "src"), "-x", "c++", "-"]
    for lock, is_fine in (("mokv::MutexLock lock(mutex);", True), ("", False)):
        done = subprocess.run(command, input=source % lock, capture_output=True, text=True)
        assert (done.returncode == 0) == is_fine, done.stderr


def changed():
    """The sources that commits of the last day have changed, the newest first."""

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.split("\n") if done.returncode == 0 else []

    newest = git("log", "-1", "--format=%ct")
    if not newest or not newest[0]:
        return []
    since = int(newest[0]) - CHANGED_SECONDS
    names = git("log", f"--since={since}", "--name-only", "--format=", "--", "src/*.cc")
    return [ROOT / name for name in dict.fromkeys(names) if name]


def tidy(build, files):
    """The number of files that were looked at, and of those with findings."""
    known = commands(build)
    wanted = [path for path in files or changed() if path in known]
    if len(wanted) > TIDY_FILES_MAX:
        print(f"{len(wanted)} files have changed; the newest {TIDY_FILES_MAX} are looked at")
    work = []
    for path in wanted[:TIDY_FILES_MAX]:
        entry = known[path]
        work.append((path, [TIDY, "--quiet", str(path), "--", *flags(entry)], entry["directory"]))
    return len(work), run_all(work)


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 2 or arguments[0] != "tidy":
        sys.exit(__doc__)
    build = pathlib.Path(arguments[1]).resolve()
    count, failed = tidy(build, [pathlib.Path(name).resolve() for name in arguments[2:]])
    print(f"clang-tidy: {count} files, {failed} with findings")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
