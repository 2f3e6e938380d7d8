#!/usr/bin/python3
"""Checks the rules of the house that a machine can check.

usage: tidy.py              checks the tree and prints file:line: rule: message
       tidy.py --self-test  checks the checks: each file in tests/tidy/bad breaks one rule
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BAD = "tests/tidy/bad"

COLUMNS_MAX = 100
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
TAB = 8

# What may be left alone: (rule, file, name of the function or variable) and why.
EXEMPT = {
    ("static", "tun/nic_mem.c", "registry"): "the interfaces of a machine, which all share",
    ("static", "tun/nic_mem.c", "registry_lock"): "guards it",
    ("static", "tun/udp_mem.c", "registry"): "the sockets of a network, which all share",
    ("static", "tun/udp_mem.c", "registry_lock"): "guards it",
}

# Folder: whose headers it may include, beside its own.
USES = {
    "lpm": set(),
    "tun": set(),
    "dataplane": {"lpm", "tun"},
    "ctl": {"dataplane", "lpm", "tun"},
    "perf": {"ctl", "dataplane", "lpm", "tun", "tests"},
    "tests": {"ctl", "dataplane", "lpm", "tun", "perf"},
}
LIBRARY = ("lpm", "tun", "dataplane")

BANNED_CALLS = {
    "strcpy": "snprintf", "strcat": "snprintf", "sprintf": "snprintf", "vsprintf": "vsnprintf",
    "gets": "fgets", "atoi": "strtol", "atol": "strtol", "strtok": "strtok_r",
    "assert": "CHECK, which release builds keep, or return values at a trust edge",
}
PACKET_PATH = ("dataplane/worker.c", "dataplane/packet.c", "dataplane/reject.c",
               "dataplane/answer.c", "dataplane/admit.c", "dataplane/cut.c", "dataplane/emit.c",
               "dataplane/hairpin.c", "dataplane/inward.c", "dataplane/source.c")
MAKERS = re.compile(r"(?:^|_)(?:create|destroy|init|fini|open|close)$")
ALLOCATION = ("malloc", "calloc", "realloc", "free")
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc"}
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
TAG = re.compile(r"(?<!\w)\[([a-z][a-z0-9]+(?:-[a-z][a-z0-9]*)*)-([12])\]")
# A line of a comment that lists a requirement, and a test that is named by one.
REQUIREMENT = re.compile(r"^ \* (rfc\d+_\w+|wg_[a-z]\d+)  +\S", re.MULTILINE)
REQUIREMENT_TEST = re.compile(r"^Test\(\w+, (rfc\d+_\w+|wg_[a-z]\d+\w*)", re.MULTILINE)
# The ends of file names by which a program chooses who implements a header.
SEAMS = re.compile(r"_(linux|mem|utun)$")

SKIPPED = {".git", ".zig-cache", "zig-out", "__pycache__", ".pytest_cache", "seeds", "fakes"}
CHECKED = (".c", ".h", ".py", ".zig", ".zon", ".sh")
CHECKED_NAMES = ("zigw", ".ci/run")

HEADER_CC = ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-I.", "-fsyntax-only", "-x", "c", "-"]


class Source:
    """A file of the tree: its text, and for C the code and the comments apart."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        self.folder = path.split("/")[0] if "/" in path else ""
        self.is_c = path.endswith((".c", ".h"))
        self.code, self.comments = split_c(text) if self.is_c else (text, [])

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1


def split_c(text):
    """The code, with strings and comments made blank in their place, and the comments."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    comments = []

    def blank(m):
        s = m.group()
        if s[0] == "/":
            comments.append((m.start(), s))
            return re.sub(r"[^\n]", " ", s)
        return s[0] + " " * (len(s) - 2) + s[-1]

    return token.sub(blank, text), comments


def columns(line):
    return len(line.expandtabs(TAB))


def check_lines(source):
    for number, line in enumerate(source.lines, 1):
        if columns(line) > COLUMNS_MAX:
            yield number, "line", f"{columns(line)} columns, more than {COLUMNS_MAX}", ""
        if UNFINISHED.search(line):
            yield number, "unfinished", "finish it, or say what is not done in ARCHITECTURE.md", ""


def check_file(source):
    count = len(source.lines) - 1
    if count > FILE_LINES_MAX:
        yield 1, "file-length", f"{count} lines, more than {FILE_LINES_MAX}", ""
    stem = os.path.splitext(os.path.basename(source.path))[0]
    if VAGUE_NAMES & set(stem.lower().split("_")):
        yield 1, "file-name", f"{stem}: name it after what it is", ""


def functions(source):
    """Name, first and last line of each body: from a { in the first column to the next }."""
    start, name = 0, ""
    lines = source.code.split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
            head = "\n".join(lines[max(0, number - 12):number - 1])
            head = re.split(r"\n\s*\n|[;}]\s*\n", head)[-1]
            found = re.search(r"(\w+)\s*\(", head)
            name = found.group(1) if found else "?"
        elif line.startswith("}") and start:
            yield name, start, number
            start = 0


def check_functions(source):
    for name, first, last in functions(source):
        count = last - first + 1
        if count > FUNCTION_LINES_MAX:
            message = f"{name} has {count} lines, more than {FUNCTION_LINES_MAX}"
            yield first, "function-length", message, name


def check_calls(source):
    for m in re.finditer(r"\b(\w+)\s*\(", source.code):
        name = m.group(1)
        number = source.line_at(m.start())
        if name in BANNED_CALLS:
            yield number, "banned-call", f"{name}: use {BANNED_CALLS[name]}", name
        if name in ALLOCATION and source.path in PACKET_PATH:
            if not any(MAKERS.search(f) and a <= number <= z for f, a, z in functions(source)):
                message = f"{name}: only *_create, *_init and their opposites may do so here"
                yield number, "packet-path", message, name


def check_types(source):
    for m in re.finditer(r"\btypedef\s+(struct|union|enum)\b", source.code):
        yield source.line_at(m.start()), "typedef", f"no typedef for a {m.group(1)}", ""
    new_t = r"\btypedef\b[^;{]*\b(\w+_t)\s*(?:;|\)\s*\()|\b(?:struct|union|enum)\s+(\w+_t)\s*\{"
    for m in re.finditer(new_t, source.code):
        name = m.group(1) or m.group(2)
        yield source.line_at(m.start()), "typedef", f"{name}: _t is for the system's types", name


def statements(code):
    """Offset and text of each that stands outside of braces, with {} for what is within."""
    depth, start, text = 0, 0, ""
    for offset, c in enumerate(code):
        if depth == 0 and not text.strip():
            start, text = offset, ""
        if c == "{":
            text += "{" if depth == 0 else ""
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0:
                text += "}"
                if re.search(r"\)[\s\w]*\{\}$", text) and "=" not in text:
                    yield start, text
                    text = ""
        elif depth == 0:
            if c == ";":
                yield start, text
                text = ""
            else:
                text += c


def variable(declaration):
    """Name of the mutable variable that a declaration makes, or None."""
    d = re.sub(r"\b(?:__attribute__\s*\(\(.*?\)\)|_?[Aa]lign(?:as|ed)\s*\([^)]*\))", " ",
               declaration, flags=re.DOTALL)
    d = d.split("=")[0].replace("{}", " ").strip()
    if re.match(r"(?:extern|typedef|static_assert|_Static_assert)\b", d):
        return None
    if re.match(r"(?:struct|union|enum)\b\s*\w*$", d) or len(re.findall(r"\w+", d)) < 2:
        return None
    if "(" in d and not re.search(r"\(\s*\*", d):
        return None
    pointee, star, pointer = d.rpartition("*")
    if re.search(r"\bconst\b", pointer if star else d):
        return None
    pointer = re.sub(r"\[[^]]*\]", "", pointer)
    found = re.findall(r"[A-Za-z_]\w*", pointer.split(")")[0])
    return found[-1] if found else None


def check_statics(source):
    if source.folder not in LIBRARY:
        return
    message = "is mutable and static: state belongs to struct dataplane or struct worker"
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  source.code, flags=re.MULTILINE)
    for offset, text in statements(code):
        name = variable(text)
        if name and not re.search(r"\)[\s\w]*\{\}$", text):
            yield source.line_at(offset), "static", f"{name} {message}", name
    for m in re.finditer(r"(?<=[\t ])static\b([^;{(=]*)[;=]", code):
        name = variable(m.group(1))
        if name:
            yield source.line_at(m.start()), "static", f"{name} {message}", name


def includes(source):
    pattern = r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]'
    for m in re.finditer(pattern, source.text, re.MULTILINE):
        yield source.line_at(m.start()), m.group(1), m.group(2)


def check_includes(source, headers):
    found = [i for i in includes(source)]
    for number, quote, name in found:
        if quote == "<":
            continue
        folder = name.split("/")[0]
        if "/" not in name or name.startswith("."):
            yield number, "include", f"{name}: name it with its folder, from the root", ""
        elif folder != source.folder and folder not in USES.get(source.folder, ()):
            yield number, "include", f"{source.folder} may not use {folder}", ""
    own = own_header(source.path, headers)
    if own and (not found or found[0][2] != own):
        number = found[0][0] if found else 1
        yield number, "own-header", f"{own} comes first", ""


def own_header(path, headers):
    stem, suffix = os.path.splitext(path)
    if suffix != ".c":
        return None
    for candidate in (stem, SEAMS.sub("", stem)):
        if candidate + ".h" in headers:
            return candidate + ".h"
    return None


def check_tags(sources):
    """Each tag of a pair must be in a comment of its own: one that names its partner is not it."""
    seen = {}
    for source in sources:
        for offset, comment in source.comments:
            for name, number in TAG.findall(comment):
                where = seen.setdefault(name, {}).setdefault(number, set())
                where.add((source.path, source.line_at(offset)))
    for name, sides in sorted(seen.items()):
        path, number = min(set().union(*sides.values()))
        lacking = [n for n in "12" if n not in sides]
        if lacking or len(set().union(*sides.values())) < 2:
            what = f"[{name}-{lacking[0]}]" if lacking else "the other side's comment"
            yield path, number, "tag", f"[{name}-1] is a pair with [{name}-2]: no {what}", ""


def check_requirements(sources, exceptions):
    """Each requirement that a test lists has a test of its name, or else a listed exception."""
    listed, tests = {}, {}
    for source in sources:
        if not source.path.startswith("tests/"):
            continue
        for offset, comment in source.comments:
            for m in REQUIREMENT.finditer(comment):
                listed[m[1]] = (source.path, source.line_at(offset + m.start(1)))
        for m in REQUIREMENT_TEST.finditer(source.code):
            tests[m[1]] = (source.path, source.line_at(m.start()))
    for name, (path, number) in sorted(listed.items()):
        tested = any(t == name or t.startswith(name + "_") for t in tests)
        if tested == (name in exceptions):
            what = ("has a test, and is an exception in ARCHITECTURE.md, too" if tested else
                    "has neither a test of its name nor an exception in ARCHITECTURE.md")
            yield path, number, "requirement", f"{name} {what}", ""
    for test, (path, number) in sorted(tests.items()):
        if not any(test == name or test.startswith(name + "_") for name in listed):
            yield path, number, "requirement", f"{test} is of no listed requirement", ""


def exceptions_of(text):
    return set(re.findall(r"^- `(rfc\d+_\w+|wg_[a-z]\d+)`: \S", text, re.MULTILINE))


def check_header(path, text):
    """Compiles a header alone."""
    done = subprocess.run(HEADER_CC, input=text, cwd=ROOT, capture_output=True, text=True,
                          check=False)
    if done.returncode == 0:
        return
    first = next((l for l in done.stderr.splitlines() if "error:" in l), done.stderr.strip())
    yield path, 1, "header", "does not compile alone: " + first, ""


def check_source(source, headers):
    checks = [check_lines(source), check_file(source)]
    if source.is_c:
        checks += [check_functions(source), check_calls(source), check_types(source),
                   check_statics(source), check_includes(source, headers)]
    for check in checks:
        for number, rule, message, name in check:
            yield source.path, number, rule, message, name


def check_tree(sources):
    headers = {s.path for s in sources if s.path.endswith(".h")}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(lambda h: list(check_header(h, f'#include "{h}"\n')), headers))
    findings = [f for s in sources for f in check_source(s, headers)]
    findings += check_tags([s for s in sources if s.is_c])
    with open(os.path.join(ROOT, "ARCHITECTURE.md"), encoding="utf-8") as f:
        findings += check_requirements([s for s in sources if s.is_c], exceptions_of(f.read()))
    findings += [f for c in compiled for f in c]
    return findings


def not_exempt(findings):
    """The findings that no exemption covers, and the exemptions that cover none."""
    used = set()
    for path, number, rule, message, name in findings:
        if (rule, path, name) in EXEMPT:
            used.add((rule, path, name))
        else:
            yield path, number, rule, message
    for rule, path, name in sorted(EXEMPT.keys() - used):
        yield path, 1, "exempt", f"tidy.py exempts {name} from {rule} without need"


def tree():
    for base, dirs, names in os.walk(ROOT):
        relative = os.path.relpath(base, ROOT)
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED and os.path.join(relative, d) != BAD)
        for name in sorted(names):
            path = os.path.normpath(os.path.join(relative, name))
            if path.endswith(CHECKED) or path in CHECKED_NAMES:
                with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                    yield Source(path, f.read())


def self_test():
    """The first line of a bad file: /* tidy: the file that it plays: the rule that it breaks */"""
    rules, failures, count = set(), 0, 0
    for name in sorted(os.listdir(os.path.join(ROOT, BAD))):
        with open(os.path.join(ROOT, BAD, name), encoding="utf-8") as f:
            text = f.read()
        # A line of "N lines" stands for N empty ones.
        text = re.sub(r"^(\d+) lines$", lambda m: "\n" * (int(m[1]) - 1), text, flags=re.MULTILINE)
        path, rule = re.match(r"/\* tidy: (\S+): ?(\S*) \*/", text).groups()
        source = Source(path, text)
        findings = list(check_source(source, {path, "dataplane/own.h"}))
        findings += check_tags([source])
        findings += check_requirements([source], exceptions_of("- `rfc1_excepted`: why\n"))
        if path.endswith(".h"):
            findings += check_header(path, text)
        expected = [rule] if rule else []
        if [f[2] for f in findings] != expected:
            failures += 1
            print(f"{BAD}/{name}: expected {expected}, found {findings}")
        rules.add(rule)
        count += 1
    with open(os.path.abspath(__file__), encoding="utf-8") as f:
        known = set(re.findall(r'yield [\w., ()\[\]]*?, "([a-z-]+)", ', f.read())) - {"exempt"}
    for rule in sorted(known - rules):
        failures += 1
        print(f"{BAD}: nothing breaks the rule {rule}")
    if count == 0 or not known:
        failures += 1
    print(f"{count} files on {len(known)} rules, {failures} failed")
    return 1 if failures else 0


def main(argv):
    if argv == ["--self-test"]:
        return self_test()
    if argv:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    sources = list(tree())
    findings = sorted(not_exempt(check_tree(sources)))
    for path, number, rule, message in findings:
        print(f"{path}:{number}: {rule}: {message}")
    if not findings:
        print(f"{len(sources)} files, nothing found")
    return 1 if findings or not sources else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
