#!/usr/bin/python3
"""Runs test suites one after another, all of them even if one fails, and sums up.

usage: run.py KIND NAME WORD... [; KIND NAME WORD...]... [-- WORD...]

  run    NAME COMMAND  the command must exit with 0
  fails  NAME COMMAND  the command must die of a signal, or as libFuzzer does
  report NAME FILE...  the files hold the findings of a tool: all must be empty

KIND@SECONDS kills a command that takes longer (default: 600).
A suite without a command or file fails, so that none is lost unnoticed. What follows -- is added
to every command. The build (build.zig) makes these command lines.
"""

import os
import signal
import subprocess
import sys
import time

TIMEOUT_S = 600
LIBFUZZER_FOUND = 77


def split(words, separator):
    parts = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return [p for p in parts if p]


def execute(command, timeout_s):
    """Exit code of a command; its whole process group dies with it when it takes too long."""
    try:
        process = subprocess.Popen(command, stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as e:
        print(f"{command[0]}: {e.strerror}", flush=True)
        return 127
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        print(f"still running after {timeout_s} s: killed", flush=True)
        return 126
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def run(command, timeout_s):
    code = execute(command, timeout_s)
    if code != 0:
        print(f"exit code {code}: {' '.join(command)}", flush=True)
    return code == 0


def fails(command, timeout_s):
    code = execute(command, timeout_s)
    if code >= 0 and code != LIBFUZZER_FOUND:
        print(f"should have crashed, exit code {code}: {' '.join(command)}", flush=True)
        return False
    print("crashed, as it must", flush=True)
    return True


def report(files, _):
    clean = True
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as f:
            findings = f.read()
        if findings:
            clean = False
            print(findings, end="" if findings.endswith("\n") else "\n", flush=True)
    if clean:
        print("nothing found", flush=True)
    return clean


def main(argv):
    kinds = {"run": run, "fails": fails, "report": report}
    added = []
    if "--" in argv:
        at = argv.index("--")
        argv, added = argv[:at], argv[at + 1:]
    results = []
    for kind, name, *words in split(argv, ";"):
        kind, _, seconds = kind.partition("@")
        print(f"== {name}", flush=True)
        start = time.monotonic()
        if words:
            passed = kinds[kind](words + added, int(seconds or TIMEOUT_S))
        else:
            print("nothing to run", flush=True)
            passed = False
        results.append((name, passed, time.monotonic() - start))
    print("== summary")
    for name, passed, seconds in results:
        print(f"{'pass' if passed else 'FAIL'}  {seconds:6.1f} s  {name}")
    failed = sum(not passed for _, passed, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
