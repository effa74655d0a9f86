#!/usr/bin/env python3
"""Switches off each guard in turn and asserts that its test notices.

usage: guards.py TEST_PROGRAM

The program is test_guard_alone. It reads FB_MUTATE_GUARD; nothing of the service does. No guard is built anew for this.
Exit code 0: with all guards on every test passes, and without a guard its own case fails. Another case may fail with it
when it needs the same guard to get where it begins.
"""
import os
import re
import subprocess
import sys


def run(program, *arguments, **environment):
    return subprocess.run(
        [program, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    listed = run(program, "--gtest_list_tests").stdout
    guards = re.findall(r"^  DecidesWhereTheBaseCasePasses/(\w+)", listed, re.MULTILINE)
    if len(guards) < 18:
        sys.exit(f"only {len(guards)} guards have a case: {guards}")
    whole = run(program)
    if whole.returncode != 0:
        sys.exit("the tests fail with every guard on:\n" + whole.stdout)
    survived = []
    for guard in guards:
        mutant = run(program, "--gtest_filter=*GuardAlone.*", FB_MUTATE_GUARD=guard)
        failed = set(re.findall(r"^\[  FAILED  \] \S*/GuardAlone\.DecidesWhereTheBaseCasePasses/(\w+)", mutant.stdout, re.M))
        if mutant.returncode not in (0, 1):
            sys.exit(f"{guard}: the program ended with {mutant.returncode}:\n{mutant.stdout}")
        if guard not in failed:
            survived.append(f"{guard}: failed {sorted(failed) or 'nothing'}")
    if survived:
        sys.exit("switched off, and its own test did not fail:\n  " + "\n  ".join(survived))
    print(f"{len(guards)} guards switched off, {len(guards)} times its test failed")


if __name__ == "__main__":
    main()
