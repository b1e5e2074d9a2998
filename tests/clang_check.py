#!/usr/bin/env python3
"""What only Clang checks, over a build's compile_commands.json: its thread-safety analysis, and
clang-tidy.

usage: clang_check.py thread-safety BUILD   every source of src/ that sees a Mutex: each member is
                                            touched under the lock that it says guards it
       clang_check.py --self-test           show that an access without the lock is found
       clang_check.py tidy BUILD [FILE...]  .clang-tidy on the sources of src/ that have changed in the
                                            last day of commits, or on FILE...; at most MOKV_TIDY_FILES
                                            (40) of them, the newest first

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
TIDY_FILES_MAX = int(os.environ.get("MOKV_TIDY_FILES", "40"))
# Warnings are for the compiler that ships the product to decide about.
QUIET = ["-Wno-error", "-Wno-unknown-warning-option"]


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


def sees_mutex(build):
    """Sources whose compilation reads base/mutex.h."""
    deps = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True)
    deps.check_returncode()
    found = set()
    for block in deps.stdout.split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        if any(line.endswith("src/base/mutex.h") for line in lines):
            found.add((build / lines[1]).resolve())
    return found


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


ANALYSIS = ["-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror=thread-safety"]


def self_test():
    source = """
      #include "base/mutex.h"
      struct Counter {
        int get() { %s return value; }
        mokv::Mutex mutex;
        int value ABSL_GUARDED_BY(mutex) = 0;
      };
    """
    command = [CLANG, *ANALYSIS, "-std=c++20", "-I", str(ROOT / "src"), "-x", "c++", "-"]
    for lock, is_fine in (("mokv::MutexLock lock(mutex);", True), ("", False)):
        done = subprocess.run(command, input=source % lock, capture_output=True, text=True)
        assert (done.returncode == 0) == is_fine, done.stderr


def thread_safety(build):
    known = commands(build)
    seen = sees_mutex(build)
    work = []
    for path in sorted(set(known) & seen):
        entry = known[path]
        work.append((path, [CLANG, *ANALYSIS, *flags(entry), str(path)], entry["directory"]))
    if not work:
        sys.exit("no source sees base/mutex.h: is the build complete?")
    return len(work), run_all(work)


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
    known = commands(build)
    wanted = [path for path in files or changed() if path in known]
    if len(wanted) > TIDY_FILES_MAX:
        print(f"{len(wanted)} files have changed; the newest {TIDY_FILES_MAX} are looked at")
    tool = [TIDY, "-p", str(build), "--quiet", *(f"--extra-arg={word}" for word in QUIET)]
    work = [(path, [*tool, str(path)], ROOT) for path in wanted[:TIDY_FILES_MAX]]
    return len(work), run_all(work)


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(arguments[1]).resolve()
    if arguments[0] == "thread-safety":
        count, failed = thread_safety(build)
    elif arguments[0] == "tidy":
        count, failed = tidy(build, [pathlib.Path(name).resolve() for name in arguments[2:]])
    else:
        sys.exit(__doc__)
    print(f"{arguments[0]}: {count} files, {failed} with findings")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
