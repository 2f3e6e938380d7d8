//! What Debian's clang-14 does: AddressSanitizer and libFuzzer, for which Zig has no runtime, and
//! lint. A part of build.zig.
const std = @import("std");
const root = @import("../build.zig");
const allocation = @import("allocation.zig");
const Build = std.Build;
const LazyPath = Build.LazyPath;
const Run = Build.Step.Run;
const Step = Build.Step;
const Suite = root.Suite;
const all_parts = root.all_parts;
const c_flags = root.c_flags;
const utun_fakes = root.utun_fakes;
const utun_flags = root.utun_flags;
const models = root.models;
const partSources = root.partSources;
const unitSources = root.unitSources;
const perfUnitSources = root.perfUnitSources;
const isUtunTest = root.isUtunTest;
const list = root.list;
const fuzzTargets = root.fuzzTargets;
const isCanary = root.isCanary;
const fuzzName = root.fuzzName;
const allFiles = root.allFiles;
const peerFlags = root.peerFlags;
const sources = root.sources;
const append = root.append;
const concat = root.concat;
const wordList = root.wordList;
const suiteList = root.suiteList;

pub fn asanSuites(b: *Build) []const Suite {
    const sanitize = "-fsanitize=address,undefined";
    var objects = addClangParts(b, sanitize, sanitize);
    append(b, &objects, addClangObject(b, "tests/main.c", sanitize));
    for (all_parts) |part| for (unitSources(b, part)) |f| {
        append(b, &objects, addClangObject(b, f, sanitize));
    };
    for (perfUnitSources(b)) |f| append(b, &objects, addClangObject(b, f, sanitize));
    const exe = addClangLink(b, "sluice-tests-asan", objects.items, sanitize, &.{"criterion"});
    return suiteList(b, &.{
        asanSuite(b, "unit asan", exe),
        asanSuite(b, "unit asan allocation", addAsanAllocation(b, sanitize)),
    });
}

/// The sources that tests/allocation lets run out of memory.
fn addAsanAllocation(b: *Build, sanitize: []const u8) LazyPath {
    var objects: std.ArrayList(LazyPath) = .empty;
    for (allocation.files(b)) |f| {
        append(b, &objects, addClangObjectWith(b, f, sanitize, allocation.flags(b)));
    }
    const lpm_model = models ++ "/lpm_model.c";
    for ([_][]const u8{ allocation.seam_file, lpm_model, "tests/main.c" }) |f| {
        append(b, &objects, addClangObject(b, f, sanitize));
    }
    const name = "sluice-tests-asan-allocation";
    return addClangLink(b, name, objects.items, sanitize, &.{"criterion"});
}

fn asanSuite(b: *Build, name: []const u8, exe: LazyPath) Suite {
    const words = wordList(b, &.{
        .{ .text = "/bin/sh" },
        .{ .text = "-uc" },
        // Criterion does not mind if a test leaks, so what is reported goes to files.
        .{ .text =
        \\reports=.zig-cache/asan
        \\rm -rf "$reports"; mkdir -p "$reports"
        \\export ASAN_OPTIONS=log_path="$reports/report"
        \\"$@"; code=$?
        \\# Only a word of warning, about contexts that are switched by hand.
        \\grep -qs "ERROR:\|runtime error" "$reports"/* && cat "$reports"/* && exit 1
        \\exit $code
        },
        .{ .text = "sh" },
        .{ .path = exe },
    });
    return .{ .name = name, .words = words };
}

pub const Fuzzer = struct { file: []const u8, exe: LazyPath };

/// Each target as a program of libFuzzer's.
pub fn addFuzzers(b: *Build) []const Fuzzer {
    const sanitize = "-fsanitize=fuzzer-no-link,address,undefined";
    // What looks for faults is not itself to be explored.
    var objects = addClangParts(b, sanitize, "-fsanitize=address,undefined");
    const shared = objects.items.len;
    var fuzzers: std.ArrayList(Fuzzer) = .empty;
    for (fuzzTargets(b)) |file| {
        objects.shrinkRetainingCapacity(shared);
        append(b, &objects, addClangObject(b, file, sanitize));
        const fuzzer = "-fsanitize=fuzzer,address,undefined";
        const exe = addClangLink(b, file, objects.items, fuzzer, &.{});
        append(b, &fuzzers, .{ .file = file, .exe = exe });
    }
    return fuzzers.items;
}

/// Targets that are given what comes from a network.
const hostile: []const []const u8 = &.{
    "packet", "out", "return", "error", "fragment", "wireguard",
};

fn isHostile(name: []const u8) bool {
    for (hostile) |h| if (std.mem.eql(u8, h, name)) return true;
    return false;
}

/// Each for so many seconds.
pub fn fuzzSuites(b: *Build, fuzzers: []const Fuzzer, seconds: u32) []const Suite {
    var suites: std.ArrayList(Suite) = .empty;
    for (fuzzers) |fuzzer| {
        const name = fuzzName(fuzzer.file);
        const canary = isCanary(fuzzer.file);
        append(b, &suites, .{
            .kind = if (canary) .fails else .run,
            .name = b.fmt("fuzz {s}", .{name}),
            .timeout_s = seconds + 120,
            .words = wordList(b, &.{
                .{ .text = "/bin/sh" },
                .{ .text = "-euc" },
                // What it finds stays in the cache; the seeds are read only.
                .{ .text =
                \\corpus=.zig-cache/fuzz/$2
                \\mkdir -p "$corpus"
                \\exec "$1" "$3" -artifact_prefix="$corpus-" -timeout=10 \
                \\    -verbosity=0 -print_final_stats=1 "$corpus" $4
                },
                .{ .text = "sh" },
                .{ .path = fuzzer.exe },
                .{ .text = name },
                .{ .text = b.fmt("-max_total_time={d}", .{seconds}) },
                // The canary's seed would tell it the bug.
                .{ .text = if (canary) "" else b.fmt("tests/fuzz/seeds/{s}", .{name}) },
            }),
        });
    }
    if (suites.items.len == 0) append(b, &suites, .{ .name = "fuzz" });
    return suites.items;
}

/// Those of packets, for a number of inputs.
pub fn hostileSuites(b: *Build, fuzzers: []const Fuzzer) []const Suite {
    var words: std.ArrayList(root.Word) = .empty;
    append(b, &words, .{ .text = "/usr/bin/python3" });
    append(b, &words, .{ .text = "tests/fuzz/hostile.py" });
    for (fuzzers) |fuzzer| {
        const name = fuzzName(fuzzer.file);
        if (isHostile(name)) append(b, &words, .{
            .text = b.fmt("{s}=", .{name}),
            .path = fuzzer.exe,
        });
    }
    return suiteList(b, &.{.{ .name = "hostile", .timeout_s = 4 * 3600, .words = words.items }});
}

/// The project on devices in memory.
fn addClangParts(b: *Build, sanitize: []const u8, of_models: []const u8) std.ArrayList(LazyPath) {
    var objects: std.ArrayList(LazyPath) = .empty;
    for (all_parts) |part| for (partSources(b, part, .memory)) |f| {
        append(b, &objects, addClangObject(b, f, sanitize));
    };
    for (sources(b, models)) |f| append(b, &objects, addClangObject(b, f, of_models));
    return objects;
}

fn addClangObject(b: *Build, file: []const u8, sanitize: []const u8) LazyPath {
    return addClangObjectWith(b, file, sanitize, &.{});
}

fn addClangObjectWith(
    b: *Build,
    file: []const u8,
    sanitize: []const u8,
    flags: []const []const u8,
) LazyPath {
    const cc = b.addSystemCommand(&.{ "clang-14", "-g", "-O1", "-fno-omit-frame-pointer" });
    cc.addArgs(&.{ sanitize, "-fno-sanitize-recover=all", "-I." });
    cc.addArgs(c_flags);
    cc.addArgs(flags);
    cc.addArgs(&.{ "-w", "-c" }); // warnings are for the build proper and for lint
    cc.addFileArg(b.path(file));
    cc.addArgs(&.{ "-MD", "-MF" });
    _ = cc.addDepFileOutputArg2("deps.d", .{});
    cc.addArg("-o");
    cc.setName(b.fmt("clang-14 {s}", .{file}));
    cc.setCwd(b.path("."));
    return cc.addOutputFileArg2(b.fmt("{s}.o", .{std.fs.path.stem(file)}), .{});
}

fn addClangLink(
    b: *Build,
    name: []const u8,
    objects: []const LazyPath,
    sanitize: []const u8,
    libs: []const []const u8,
) LazyPath {
    const cc = b.addSystemCommand(&.{ "sh", "-euc" });
    cc.addArg("libs=$1; shift; exec clang-14 \"$@\" $(pkg-config --libs $libs) -lurcu-common");
    var names: []const u8 = "";
    for (all_parts) |part| for (part.libs()) |lib| {
        names = b.fmt("{s} {s}", .{ names, lib });
    };
    for (libs) |lib| names = b.fmt("{s} {s}", .{ names, lib });
    cc.addArgs(&.{ "sh", names, sanitize });
    for (objects) |object| cc.addFileArg(object);
    cc.addArg("-o");
    const exe = cc.addOutputFileArg2(std.fs.path.stem(name), .{});
    cc.setName(b.fmt("clang-14 link {s}", .{std.fs.path.stem(name)}));
    return exe;
}

// Lint. What a tool finds in a file is kept until the file or what it includes changes.

pub fn lintSuites(b: *Build) []const Suite {
    const zig_files: []const []const u8 = &.{
        "build.zig",         "build.zig.zon", "tests/allocation.zig", "tests/clang.zig",
        "tests/sockets.zig",
    };
    const zig_fmt = addFindings(b, "zig fmt");
    zig_fmt.run.addFileArg(b.graph.path(.zig_exe, ""));
    zig_fmt.run.addArgs(&.{ "fmt", "--check" });
    for (zig_files) |f| zig_fmt.run.addFileArg(b.path(f));

    const format = addFindings(b, "clang-format-14");
    format.run.addArgs(&.{ "clang-format-14", "--dry-run", "-Werror" });
    format.run.addFileInput(b.path(".clang-format"));
    for (allFiles(b, ".h")) |f| format.run.addFileArg(b.path(f));
    for (allFiles(b, ".c")) |f| format.run.addFileArg(b.path(f));

    const tidied = b.addSystemCommand(&.{"cat"});
    for (allFiles(b, ".c")) |f| if (peerFlags(b, f)) |_| tidied.addFileArg(addTidy(b, f));

    const pages = b.addSystemCommand(&.{"cat"});
    for (list(b, "docs", ".scd")) |f| {
        const page = addFindings(b, b.fmt("scdoc {s}", .{f}));
        page.run.addArgs(&.{ "sh", "-c", "scdoc <\"$1\"", "sh" });
        page.run.addFileArg(b.path(f));
        pages.addFileArg(page.file);
    }

    const words = wordList(b, &.{
        .{ .path = zig_fmt.file },
        .{ .path = format.file },
        .{ .path = tidied.captureStdOut(.{}) },
        .{ .path = pages.captureStdOut(.{}) },
    });
    return suiteList(b, &.{
        .{ .kind = .report, .name = "lint zig fmt", .words = words[0..1] },
        .{ .kind = .report, .name = "lint clang-format", .words = words[1..2] },
        .{ .kind = .report, .name = "lint clang-tidy", .words = words[2..3] },
        .{ .kind = .report, .name = "lint scdoc", .words = words[3..4] },
    });
}

fn addTidy(b: *Build, file: []const u8) LazyPath {
    const tidy = addFindings(b, b.fmt("clang-tidy-14 {s}", .{file}));
    tidy.run.addArgs(&.{ "sh", "-euc" });
    tidy.run.addArg(
        \\deps=$1 file=$2; shift 2
        \\clang-14 "$@" -w -M -MT findings -MF "$deps" "$file" || exit 127
        \\clang-tidy-14 --quiet "$file" -- "$@"
    );
    tidy.run.addArg("sh");
    _ = tidy.run.addDepFileOutputArg2("deps.d", .{});
    tidy.run.addFileArg(b.path(file));
    tidy.run.addFileInput(b.path(".clang-tidy"));
    tidy.run.addFileInput(b.path("tests/.clang-tidy"));
    if (std.mem.endsWith(u8, file, "_utun.c")) {
        // As macOS sees it, by the headers that Zig has of it.
        tidy.run.addArgs(&.{ "-target", "arm64-apple-macos13", "-isystem" });
        tidy.run.addDirectoryArg2(b.graph.path(.zig_lib, "libc/include/any-darwin-any"), .{});
    }
    if (isUtunTest(file) or std.mem.startsWith(u8, file, utun_fakes)) tidy.run.addArgs(utun_flags);
    tidy.run.addArgs(&.{ "-include", "tests/tidy/analyzed_errno.h", "-I." });
    tidy.run.addArgs(c_flags);
    tidy.run.addArgs(peerFlags(b, file).?);
    return tidy.file;
}

const Findings = struct { run: *Run, file: LazyPath };

/// A command, to be added to run, whose output goes to a file; an empty one if it succeeds.
fn addFindings(b: *Build, name: []const u8) Findings {
    const run = b.addSystemCommand(&.{ "sh", "-uc" });
    run.addArg(
        \\out=$1; shift
        \\"$@" >"$out" 2>&1
        \\code=$?
        \\case $code in
        \\0) : >"$out" ;;
        \\126 | 127) cat "$out" >&2; exit 1 ;; # it could not run
        \\*) [ -s "$out" ] || echo "exit code $code of: $*" >"$out" ;;
        \\esac
    );
    run.addArg("sh");
    run.setName(name);
    run.setCwd(b.path("."));
    return .{ .file = run.addOutputFileArg2("findings", .{}), .run = run };
}

/// What a C file is compiled with here.
fn fileFlags(b: *Build, file: []const u8) []const []const u8 {
    const fakes = std.mem.endsWith(u8, file, "_utun.c") or isUtunTest(file) or
        std.mem.startsWith(u8, file, utun_fakes);
    const own = if (fakes) utun_flags else peerFlags(b, file) orelse &.{};
    return concat(b, []const u8, &.{ &.{"-I."}, c_flags, own });
}

/// compile_commands.json for clangd, which needs an absolute "directory".
pub fn addCdb(b: *Build) *Step {
    var json: std.Io.Writer.Allocating = .init(b.graph.arena);
    writeCdb(b, &json.writer) catch @panic("OOM");
    const sed = b.addSystemCommand(&.{ "sh", "-c", "sed \"s|@ROOT@|$1|\" \"$2\"", "sh" });
    sed.addDirectoryArg2(b.path("."), .{ .make_absolute = true });
    sed.addFileArg(b.addWriteFiles().add("cdb.json", json.written()));
    const update = b.addUpdateSourceFiles();
    update.addCopyFileToSource(sed.captureStdOut(.{}), "compile_commands.json");
    b.step("cdb", "Write compile_commands.json, as the default step does").dependOn(&update.step);
    return &update.step;
}

fn writeCdb(b: *Build, w: *std.Io.Writer) !void {
    var separator: []const u8 = "[";
    for (allFiles(b, ".c")) |file| {
        try w.print("{s}\n{{\"directory\": \"@ROOT@\", \"file\": \"{s}\", ", .{ separator, file });
        try w.writeAll("\"arguments\": [\"clang\"");
        for (fileFlags(b, file)) |flag| try w.print(", \"{s}\"", .{flag});
        try w.print(", \"-c\", \"{s}\"]}}", .{file});
        separator = ",";
    }
    try w.writeAll(if (separator[0] == '[') "[]\n" else "\n]\n");
}
