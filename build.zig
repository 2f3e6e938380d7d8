//! Build of Sluice. `./zigw build -l` lists the steps, `./zigw build --help` the options too.
//!
//! What is measured or shown is built fast; what is tested is built debug with UBSan, and once more
//! fast. Every folder is searched when the build is configured: a new file needs no line here.
const std = @import("std");
const builtin = @import("builtin");
const allocation = @import("tests/allocation.zig");
const clang = @import("tests/clang.zig");
const cross = @import("tests/cross.zig");
const sockets = @import("tests/sockets.zig");
const Build = std.Build;
const Compile = Build.Step.Compile;
const LazyPath = Build.LazyPath;
const Run = Build.Step.Run;
const Step = Build.Step;

pub const c_flags: []const []const u8 = &.{
    "-std=gnu17",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla",
    "-Wpointer-arith",
};

/// Debian's headers, but the compiler's own <stdint.h>.
const bpf_flags: []const []const u8 = &.{ "-ffreestanding", "-Wall", "-Wextra", "-Werror" };

/// What the devices of Linux need.
pub const linux_libs: []const []const u8 = &.{"libbpf"};

/// A folder of the project. Each is compiled by a step of its own: Zig compiles the files of one
/// step one after another, and the steps side by side.
pub const Part = enum {
    lpm,
    tun,
    dataplane,
    ctl,

    /// The pkg-config names that it needs beside libc. What lpm and tun use, any target must have.
    pub fn libs(part: Part) []const []const u8 {
        return switch (part) {
            .lpm, .tun => &.{},
            .dataplane => &.{ "liburcu-qsbr", "libxxhash", "libcrypto" },
            .ctl => &.{ "jansson", "libmnl", "zlib" },
        };
    }

    /// It and what it may use.
    fn uses(part: Part) []const Part {
        return switch (part) {
            .lpm => &.{.lpm},
            .tun => &.{.tun},
            .dataplane => libsluice,
            .ctl => all_parts,
        };
    }
};

/// For what is timed in perf/ and its peers alike: as DPDK is built, and where a loop begins in a
/// line is no matter of chance.
const perf_flags: []const []const u8 = &.{ "-O3", "-falign-functions=64" };

/// What perf/ measures beside Sluice where it is installed: *_NAME.c and its library are a part of
/// sluice-perf then, and *_noNAME.c is otherwise. Sluice itself uses none of them.
pub const Peer = enum {
    dpdk,
    ck,

    /// For pkg-config.
    fn package(peer: Peer) []const u8 {
        return switch (peer) {
            .dpdk => "libdpdk",
            .ck => "ck",
        };
    }

    /// By name: Zig does not know what else libdpdk.pc says.
    fn libs(peer: Peer) []const []const u8 {
        return switch (peer) {
            .dpdk => &.{ "rte_fib", "rte_lpm", "rte_eal" },
            .ck => &.{}, // all that is used is inline
        };
    }

    /// Its headers are the system's: what they do not mind is no error of ours.
    fn flags(peer: Peer) []const []const u8 {
        const folder = "/usr/include/" ++ @tagName(builtin.cpu.arch) ++ "-linux-gnu/dpdk";
        return switch (peer) {
            .dpdk => &.{ "-isystem", "/usr/include/dpdk", "-isystem", folder },
            .ck => &.{},
        };
    }

    fn installed(peer: Peer, b: *Build) bool {
        const arch = @tagName(builtin.cpu.arch);
        const folder = b.graph.cwdRelativePath("/usr/lib/" ++ arch ++ "-linux-gnu/pkgconfig");
        b.dependOnDirectoryContents(folder); // looks again when a package came or went
        const file = b.fmt("/usr/lib/{s}-linux-gnu/pkgconfig/{s}.pc", .{ arch, peer.package() });
        std.Io.Dir.cwd().access(b.graph.io, file, .{}) catch return false;
        return true;
    }

    /// Whose file it is, by the end of its name.
    fn of(file: []const u8, prefix: []const u8, b: *Build) ?Peer {
        for (std.enums.values(Peer)) |peer| {
            const end = b.fmt("_{s}{t}.c", .{ prefix, peer });
            if (std.mem.endsWith(u8, file, end)) return peer;
        }
        return null;
    }
};

/// What the file of a peer is compiled with beside the rest; null if its library is not there.
pub fn peerFlags(b: *Build, file: []const u8) ?[]const []const u8 {
    const peer = Peer.of(file, "", b) orelse return &.{};
    return if (peer.installed(b)) peer.flags() else null;
}

pub const libsluice: []const Part = &.{ .lpm, .tun, .dataplane };
pub const portable: []const Part = &.{.lpm};
pub const all_parts: []const Part = &.{ .lpm, .tun, .dataplane, .ctl };

const c_dirs: []const []const u8 = &.{
    "lpm", "tun", "dataplane", "ctl", "perf", "tests", utun_fakes,
};
/// Folders that are looked into by those only who name them.
const skipped_dirs: []const []const u8 = &.{
    "bad", "bpf", "fakes", "netns", "seeds", "__pycache__",
};

/// The naive models, of which a program gets those that it uses.
pub const models = "tests/model";

/// Fakes of macOS's headers and calls, with which tun/tun_utun.c is compiled and tested here.
pub const utun_fakes = "tests/tun/fakes";
pub const utun_flags: []const []const u8 = &.{ "-DSLUICE_UTUN_FAKE", "-I" ++ utun_fakes };

/// Debian's, which has the modules that its packages install.
const python = "/usr/bin/python3";

const Sanitize = enum { none, undefined, trap, thread };

pub const Settings = struct {
    target: Build.ResolvedTarget,
    optimize: std.lang.Optimize = .fast,
    sanitize: ?Sanitize = null,
    jemalloc: bool = false,
    /// See headerStamp.
    stamp: LazyPath,
};

/// Who implements tun/tun.h and tun/nic.h, by the ends of file names: the kernel (*_linux.c),
/// memory (*_mem.c), macOS's *_utun.c on fakes beside nic_mem.c, or all that builds for macOS.
const Devices = enum {
    linux,
    memory,
    utun,
    macos,

    fn has(d: Devices, file: []const u8) bool {
        const end = std.mem.endsWith;
        if (end(u8, file, "_linux.c") and d == .macos) return false;
        if (!std.mem.startsWith(u8, file, "tun/")) return true;
        // Tested beside what is in memory: they open none of the devices.
        if (end(u8, file, "/nic_filter_linux.c")) return true;
        if (end(u8, file, "/probe_linux.c")) return true;
        if (end(u8, file, "_linux.c")) return d == .linux;
        if (end(u8, file, "_utun.c")) return d == .utun or d == .macos;
        if (end(u8, file, "/tun_mem.c")) return d == .memory or d == .macos;
        if (end(u8, file, "_mem.c")) return d != .linux;
        return true;
    }
};

/// The project compiled in one mode.
pub const Kit = struct {
    settings: Settings,
    /// On devices in memory, except for library, sluice and utun.
    objects: std.enums.EnumArray(Part, *Compile),
    models: *Compile,
    utun: *Compile,
    library: *Compile,
    sluice: ?*Compile,
    sluice_wg: ?*Compile,
    perf: ?*Compile,
};

pub fn build(b: *Build) void {
    const optimize = b.option(
        std.lang.Optimize,
        "optimize",
        "Mode of what is installed (default: fast); the tests choose their own",
    ) orelse .fast;
    const sanitize = b.option(
        Sanitize,
        "sanitize",
        "For what is installed (default: undefined in debug, trap in safe, else none)",
    );
    const jemalloc = b.option(bool, "jemalloc", "Replace malloc by jemalloc (default: true)");
    // Not the CPU of the build machine: what needs a newer one is picked at run time.
    const default: std.Target.Query = switch (b.graph.host.result.cpu.arch) {
        .x86_64 => .{ .cpu_model = .{ .explicit = &std.Target.x86.cpu.x86_64_v2 } },
        else => .{ .cpu_model = .baseline },
    };
    const common: Settings = .{
        .target = b.standardTargetOptions(.{ .default_target = default }),
        .jemalloc = jemalloc orelse true,
        .stamp = headerStamp(b),
    };
    const fast = addKit(b, common);
    const debug = addKit(b, with(common, .debug, null));
    const thread = addKit(b, with(common, .debug, .thread));
    const chosen = if (optimize == .fast and sanitize == null)
        fast
    else
        addKit(b, with(common, optimize, sanitize));
    const cdb = clang.addCdb(b);

    install(b, chosen, cdb);
    addPrograms(b, chosen, fast);
    addMan(b);
    addTests(b, debug, fast, thread);
    cross.add(b, common.stamp);
}

fn with(s: Settings, optimize: std.lang.Optimize, sanitize: ?Sanitize) Settings {
    var changed = s;
    changed.optimize = optimize;
    changed.sanitize = sanitize;
    return changed;
}

fn install(b: *Build, kit: Kit, cdb: *Step) void {
    b.installArtifact(kit.library);
    if (isFile(b, "dataplane/sluice.h")) b.installFile("dataplane/sluice.h", "include/sluice.h");
    if (kit.sluice) |exe| b.installArtifact(exe);
    if (kit.sluice_wg) |exe| b.installArtifact(exe);
    if (kit.perf) |exe| b.installArtifact(exe);
    b.getInstallStep().dependOn(cdb);
}

/// docs/NAME.SECTION.scd becomes share/man/manSECTION/NAME.SECTION.
fn addMan(b: *Build) void {
    const step = b.step("man", "Install the man pages (scdoc)");
    for (list(b, "docs", ".scd")) |file| {
        const page = std.fs.path.stem(file);
        const run = b.addSystemCommand(&.{"scdoc"});
        run.setStdIn(.{ .lazy_path = b.path(file) });
        run.setName(b.fmt("scdoc {s}", .{file}));
        const path = b.fmt("share/man/man{s}/{s}", .{ std.fs.path.extension(page)[1..], page });
        step.dependOn(&b.addInstallFile(run.captureStdOut(.{}), path).step);
    }
}

// Steps that hand the terminal to a program.

fn addPrograms(b: *Build, chosen: Kit, fast: Kit) void {
    const run = b.step("run", "Run sluice; its arguments after --");
    const bench = b.step("bench", "Run sluice-perf, built fast; its arguments after --");
    const demo = b.step("demo", "Run the demonstration, built fast; its arguments after --");

    run.dependOn(addTerminal(b, chosen, &.{.{ .artifact = chosen.sluice }}));
    bench.dependOn(addTerminal(b, fast, &.{.{ .artifact = fast.perf }}));
    const show = addTerminal(b, fast, &.{ .{ .text = python }, .{ .text = "demo/demo.py" } });
    show.dependOn(b.getInstallStep()); // what it says to run next
    demo.dependOn(show);
}

fn addTerminal(b: *Build, kit: Kit, words: []const Word) *Step {
    const run = b.addSystemCommand(&.{"/usr/bin/env"});
    if (!addWords(run, environment(b, kit)) or !addWords(run, words)) {
        return &b.addFail("ctl/main.c and perf/main.c are needed").step;
    }
    run.setCwd(b.path("."));
    run.addPassthruArgs();
    run.stdio = .inherit;
    return &run.step;
}

/// What demo/ and tests/netns find the programs by.
fn environment(b: *Build, kit: Kit) []const Word {
    return b.graph.arena.dupe(Word, &.{
        .{ .text = "SLUICE=", .artifact = kit.sluice },
        .{ .text = "SLUICE_WG=", .artifact = kit.sluice_wg },
        .{ .text = "SLUICE_PERF=", .artifact = kit.perf },
    }) catch @panic("OOM");
}

/// A word of a command: text, then what the build knows the name of.
pub const Word = struct {
    text: []const u8 = "",
    artifact: ?(?*Compile) = null,
    path: ?LazyPath = null,
};

/// Says no if a program is not there to be built.
fn addWords(run: *Run, words: []const Word) bool {
    for (words) |word| {
        if (word.artifact) |maybe| {
            const exe = maybe orelse return false;
            run.addArtifactArg2(exe, .{ .prefix = word.text, .make_absolute = true });
        } else if (word.path) |path| {
            run.addFileArg2(path, .{ .prefix = word.text });
        } else run.addArg(word.text);
    }
    return true;
}

// Tests. All are run by tests/run.py, which shows and sums up what they did.

pub const Suite = struct {
    kind: enum { run, fails, report } = .run,
    name: []const u8,
    timeout_s: u32 = 600,
    /// None: the suite fails, since there is nothing to run.
    words: []const Word = &.{},
};

fn addTests(b: *Build, debug: Kit, fast: Kit, thread: Kit) void {
    const tidy = tidySuites(b);
    const lint = clang.lintSuites(b);
    const stress = programSuites(b, debug, "stress");
    const seeds = seedSuites(b, debug);
    const netns = netnsSuites(b, fast);
    // Criterion cannot start under ThreadSanitizer, so these are programs of their own.
    const race = programSuites(b, thread, "race");
    const exhaustive = programSuites(b, fast, "exhaustive"); // takes two minutes
    const asan = clang.asanSuites(b);
    const fuzzers = clang.addFuzzers(b);
    const seconds = b.option(u32, "fuzz-seconds", "Time for each fuzz target (default: 10)");
    const fuzz = clang.fuzzSuites(b, fuzzers, seconds orelse 10);
    const fuzz_short = clang.fuzzSuites(b, fuzzers, 2);
    const hostile = clang.hostileSuites(b, fuzzers);
    var units: std.enums.EnumArray(Part, []const Suite) = .initUndefined();
    for (all_parts) |part| units.set(part, unitSuites(b, part, debug, fast));
    const no_memory = allocation.suites(b, debug);
    const perf = perfSuites(b, debug, fast);
    const socket = sockets.suites(b, debug);
    const unit = concat(b, Suite, &.{ concat(b, Suite, &units.values), no_memory, perf, socket });
    const scale = programSuites(b, fast, "scale");
    const all = concat(b, Suite, &.{ tidy, lint, unit, stress, seeds, fuzz_short, netns });

    addSuites(b, "test", "Run all of the next six and short fuzzing, whatever fails", all);
    addSuites(b, "test-tidy", "Check the rules of the house (tests/tidy/tidy.py)", tidy);
    addSuites(b, "lint", "Check with clang-format-14, clang-tidy-14, zig fmt and scdoc", lint);
    addSuites(b, "test-unit", "Run the unit tests, debug and fast; its options after --", unit);
    addSuites(b, "test-allocation", "Run the tests in which allocations fail alone", no_memory);
    addSuites(b, "test-scale", "Load 6 million prefixes, and be refused them (minutes)", scale);
    addSuites(b, "test-stress", "Run the stress programs (tests/stress), debug", stress);
    addSuites(b, "test-seeds", "Run each fuzz target on its seeds (tests/fuzz), debug", seeds);
    addSuites(b, "test-netns", "Run the network namespace tests; pytest's options after --", netns);
    addSuites(b, "test-race", "Run tests/race under ThreadSanitizer (slow to build first)", race);
    addSuites(b, "test-exhaustive", "Look up all IPv4 addresses (tests/exhaustive)", exhaustive);
    addSuites(b, "test-asan", "Run the unit tests under AddressSanitizer (clang-14)", asan);
    addSuites(b, "test-hostile", "Run those of packets on 10 million inputs (15 minutes)", hostile);
    addSuites(b, "fuzz", "Run each fuzz target under libFuzzer (clang-14)", fuzz);
    for (all_parts) |part| {
        const help = b.fmt("Run the unit tests of {t}/ alone", .{part});
        addSuites(b, b.fmt("test-{t}", .{part}), help, units.get(part));
    }
    addSuites(b, "test-perf", "Run the unit tests of perf/ alone", perf);
    addSuites(b, "test-sockets", "Run the tests of the kernel's sockets alone", socket);
}

fn addSuites(b: *Build, name: []const u8, help: []const u8, suites: []const Suite) void {
    const run = b.addSystemCommand(&.{ python, "tests/run.py" });
    for (suites, 0..) |suite, i| {
        if (i > 0) run.addArg(";");
        run.addArgs(&.{ b.fmt("{t}@{d}", .{ suite.kind, suite.timeout_s }), suite.name });
        _ = addWords(run, suite.words);
    }
    run.addArg("--");
    run.addPassthruArgs();
    run.setCwd(b.path("."));
    run.stdio = .inherit;
    run.setName(name);
    b.step(name, help).dependOn(&run.step);
}

pub fn suiteList(b: *Build, suites: []const Suite) []const Suite {
    return b.graph.arena.dupe(Suite, suites) catch @panic("OOM");
}

pub fn wordList(b: *Build, words: []const Word) []const Word {
    return b.graph.arena.dupe(Word, words) catch @panic("OOM");
}

fn textWords(b: *Build, texts: []const []const u8) []const Word {
    const words = b.graph.alloc(Word, texts.len);
    for (words, texts) |*w, text| w.* = .{ .text = text };
    return words;
}

fn tidySuites(b: *Build) []const Suite {
    const tidy = "tests/tidy/tidy.py";
    return suiteList(b, &.{
        .{ .name = "tidy", .words = textWords(b, &.{ python, tidy }) },
        .{ .name = "tidy self-test", .words = textWords(b, &.{ python, tidy, "--self-test" }) },
    });
}

/// The tests of a part, debug and fast, in a program that holds only what the part may use.
fn unitSuites(b: *Build, part: Part, debug: Kit, fast: Kit) []const Suite {
    var suites: std.ArrayList(Suite) = .empty;
    for ([_]Kit{ debug, fast }) |kit| {
        const tests = unitSources(b, part);
        const files = concat(b, []const u8, &.{ &.{"tests/main.c"}, tests });
        const exe = addProgram(b, kit, b.fmt("test-{t}", .{part}), files, &.{});
        linkParts(exe, kit, part.uses());
        linkCriterion(exe);
        append(b, &suites, .{
            .name = b.fmt("unit {t} {t}", .{ part, kit.settings.optimize }),
            .words = if (tests.len > 0) wordList(b, &.{.{ .artifact = exe }}) else &.{},
        });
    }
    if (part == .tun) if (addUtunUnit(b, debug)) |exe| {
        const words = wordList(b, &.{.{ .artifact = exe }});
        append(b, &suites, .{ .name = "unit utun", .words = words });
    };
    return suites.items;
}

pub fn unitSources(b: *Build, part: Part) []const []const u8 {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, b.fmt("tests/{t}", .{part}))) |f| if (!isUtunTest(f)) append(b, &files, f);
    if (part == .dataplane) for (sources(b, "tests/wireguard")) |f| append(b, &files, f);
    return files.items;
}

/// tests/perf/test_NAME.c tests perf/NAME.c; of perf/ the program holds only what is tested.
fn perfSuites(b: *Build, debug: Kit, fast: Kit) []const Suite {
    var suites: std.ArrayList(Suite) = .empty;
    for ([_]Kit{ debug, fast }) |kit| {
        const files = concat(b, []const u8, &.{ &.{"tests/main.c"}, perfUnitSources(b) });
        const exe = addProgram(b, kit, "test-perf", files, &.{});
        linkParts(exe, kit, all_parts);
        linkCriterion(exe);
        const name = b.fmt("unit perf {t}", .{kit.settings.optimize});
        append(b, &suites, .{ .name = name, .words = wordList(b, &.{.{ .artifact = exe }}) });
    }
    return suites.items;
}

/// The tests of perf/ and what they test.
pub fn perfUnitSources(b: *Build) []const []const u8 {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, "tests/perf")) |f| {
        const name = std.mem.cutPrefix(u8, std.fs.path.basename(f), "test_") orelse continue;
        append(b, &files, f);
        append(b, &files, b.fmt("perf/{s}", .{name}));
    }
    return files.items;
}

/// tun/tun_utun.c with its tests and fakes, apart since it takes the place of tun/tun_mem.c.
fn addUtunUnit(b: *Build, kit: Kit) ?*Compile {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, utun_fakes)) |f| append(b, &files, f);
    for (sources(b, "tests/tun")) |f| if (isUtunTest(f)) append(b, &files, f);
    if (files.items.len == 0) return null;
    append(b, &files, "tests/main.c");
    const exe = addProgram(b, kit, "test-utun", files.items, utun_flags);
    exe.root_module.addObject(kit.utun);
    linkCriterion(exe);
    return exe;
}

pub fn isUtunTest(file: []const u8) bool {
    return std.mem.startsWith(u8, std.fs.path.basename(file), "test_utun");
}

pub fn linkCriterion(exe: *Compile) void {
    linkLibs(exe.root_module, &.{"criterion"});
    exe.link_gc_sections = false; // Criterion finds its tests in a section that nothing refers to
}

/// A suite for each C file of a folder, which is a program of its own.
fn programSuites(b: *Build, kit: Kit, name: []const u8) []const Suite {
    var suites: std.ArrayList(Suite) = .empty;
    for (sources(b, b.fmt("tests/{s}", .{name}))) |file| {
        const stem = std.fs.path.stem(file);
        const exe = addProgram(b, kit, stem, &.{file}, &.{});
        linkParts(exe, kit, all_parts);
        append(b, &suites, .{
            .name = b.fmt("{s} {s}", .{ name, stem }),
            .words = wordList(b, &.{
                .{ .text = "/usr/bin/env" },
                .{ .text = "TSAN_OPTIONS=suppressions=tests/tsan.supp" },
                .{ .artifact = exe },
            }),
        });
    }
    if (suites.items.len == 0) append(b, &suites, .{ .name = name });
    return suites.items;
}

fn netnsSuites(b: *Build, kit: Kit) []const Suite {
    for (list(b, "tests/netns", ".py")) |file| {
        if (std.mem.startsWith(u8, std.fs.path.basename(file), "test_")) break;
    } else return suiteList(b, &.{.{ .name = "netns" }});
    const programs = environment(b, kit);
    for (programs) |program| if (program.artifact.? == null) {
        return suiteList(b, &.{.{ .name = "netns" }});
    };
    const words = concat(b, Word, &.{
        textWords(b, &.{"/usr/bin/env"}),
        programs,
        textWords(b, &.{ python, "-B", "-m", "pytest", "-q", "-rs" }),
        textWords(b, &.{ "-n", "2", "-p", "no:cacheprovider" }),
        textWords(b, &.{"tests/netns"}),
    });
    return suiteList(b, &.{.{ .name = "netns", .words = words }});
}

/// The targets tests/fuzz/fuzz_*.c and the canary, which has a bug that must be found.
pub fn fuzzTargets(b: *Build) []const []const u8 {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, "tests/fuzz")) |f| {
        const base = std.fs.path.basename(f);
        if (std.mem.startsWith(u8, base, "fuzz_") or isCanary(f)) append(b, &files, f);
    }
    return files.items;
}

pub fn isCanary(file: []const u8) bool {
    return std.mem.eql(u8, file, "tests/fuzz/canary.c");
}

/// tests/fuzz/fuzz_NAME.c has its seeds in tests/fuzz/seeds/NAME.
pub fn fuzzName(file: []const u8) []const u8 {
    const stem = std.fs.path.stem(file);
    return std.mem.cutPrefix(u8, stem, "fuzz_") orelse stem;
}

fn seedSuites(b: *Build, kit: Kit) []const Suite {
    var suites: std.ArrayList(Suite) = .empty;
    for (fuzzTargets(b)) |file| {
        const name = b.fmt("replay_{s}", .{fuzzName(file)});
        const exe = addProgram(b, kit, name, &.{ "tests/fuzz/replay.c", file }, &.{});
        linkParts(exe, kit, all_parts);
        append(b, &suites, .{
            .kind = if (isCanary(file)) .fails else .run,
            .name = b.fmt("seeds {s}", .{fuzzName(file)}),
            .words = wordList(b, &.{
                .{ .artifact = exe },
                .{ .text = b.fmt("tests/fuzz/seeds/{s}", .{fuzzName(file)}) },
            }),
        });
    }
    if (suites.items.len == 0) append(b, &suites, .{ .name = "seeds" });
    return suites.items;
}

// Libraries and programs, compiled by Zig.

fn addKit(b: *Build, s: Settings) Kit {
    var kit: Kit = .{
        .settings = s,
        .objects = undefined,
        .models = b.addLibrary(.{
            .name = "models",
            .linkage = .static,
            .root_module = addModule(b, s, sources(b, models), &.{}),
        }),
        .utun = addObject(b, s, .tun, .utun),
        .library = undefined,
        .sluice = null,
        .sluice_wg = null,
        .perf = null,
    };
    for (all_parts) |part| kit.objects.set(part, addObject(b, s, part, .memory));
    kit.library = addLibrary(b, kit);
    kit.sluice = addCommand(b, kit, "sluice", "ctl/main.c");
    kit.sluice_wg = addCommand(b, kit, "sluice-wg", "ctl/wireguard/main.c");
    if (isFile(b, "perf/main.c")) {
        kit.perf = addPerf(b, kit);
    }
    return kit;
}

/// A program of ctl/, on the kernel's devices.
fn addCommand(b: *Build, kit: Kit, name: []const u8, file: []const u8) ?*Compile {
    if (!isFile(b, file)) return null;
    const exe = addProgram(b, kit, name, &.{file}, &.{});
    linkPart(exe.root_module, kit, .ctl);
    exe.root_module.linkLibrary(kit.library);
    linkLibs(exe.root_module, linux_libs);
    return exe;
}

fn addPerf(b: *Build, kit: Kit) *Compile {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, "perf")) |f| {
        const stands_in = if (Peer.of(f, "no", b)) |peer| !peer.installed(b) else true;
        if (Peer.of(f, "", b) == null and stands_in) append(b, &files, f);
    }
    const exe = addProgram(b, kit, "sluice-perf", files.items, perf_flags);
    const m = exe.root_module;
    for (sources(b, "perf")) |f| if (Peer.of(f, "", b)) |peer| if (peer.installed(b)) {
        const flags = concat(b, []const u8, &.{ c_flags, perf_flags, peer.flags() });
        m.addCSourceFile(.{ .file = b.path(f), .flags = flags });
    };
    for (std.enums.values(Peer)) |peer| {
        if (peer.installed(b)) for (peer.libs()) |lib| {
            m.linkSystemLibrary(lib, .{ .use_pkg_config = .no });
        };
    }
    linkParts(exe, kit, all_parts);
    return exe;
}

/// libsluice.a. The programs that link it link what it needs.
fn addLibrary(b: *Build, kit: Kit) *Compile {
    const s = kit.settings;
    const m = b.createModule(.{ .target = s.target, .optimize = s.optimize, .link_libc = true });
    linkPart(m, kit, .lpm);
    const tun = addObject(b, s, .tun, .linux);
    tun.root_module.addIncludePath(bpfPrograms(b));
    linkLibs(tun.root_module, linux_libs);
    m.addObject(tun);
    linkPart(m, kit, .dataplane);
    return b.addLibrary(.{ .name = "sluice", .linkage = .static, .root_module = m });
}

/// What tun/bpf/NAME.c is for the kernel: a folder with NAME.bpf.o.
fn bpfPrograms(b: *Build) LazyPath {
    const copies = b.addWriteFiles();
    const arch = b.fmt("/usr/include/{t}-linux-gnu", .{b.graph.host.result.cpu.arch});
    for (sources(b, "tun/bpf")) |file| {
        const m = b.createModule(.{
            .target = b.resolveTargetQuery(.{ .cpu_arch = .bpfel, .os_tag = .freestanding }),
            .optimize = .fast,
            .unwind_tables = .none,
            .strip = false, // libbpf reads the types of what it sets before loading
        });
        m.addIncludePath(b.path("."));
        m.addAfterIncludePath(b.graph.cwdRelativePath("/usr/include"));
        m.addAfterIncludePath(b.graph.cwdRelativePath(arch));
        m.addCSourceFile(.{ .file = b.path(file), .flags = bpf_flags });
        const name = std.fs.path.stem(file);
        const object = b.addObject(.{ .name = b.fmt("bpf-{s}", .{name}), .root_module = m });
        _ = copies.addCopyFile(object.getEmittedBin(), b.fmt("{s}.bpf.o", .{name}));
    }
    return copies.getDirectory();
}

fn addObject(b: *Build, s: Settings, part: Part, devices: Devices) *Compile {
    const flags: []const []const u8 = if (devices == .utun) utun_flags else &.{};
    const m = addModule(b, s, partSources(b, part, devices), flags);
    linkLibs(m, part.libs()); // for their include paths
    return b.addObject(.{ .name = @tagName(part), .root_module = m });
}

fn linkParts(exe: *Compile, kit: Kit, parts: []const Part) void {
    exe.root_module.linkLibrary(kit.models);
    for (parts) |part| linkPart(exe.root_module, kit, part);
}

fn linkPart(m: *Build.Module, kit: Kit, part: Part) void {
    m.addObject(kit.objects.get(part));
    linkLibs(m, part.libs());
}

pub fn linkLibs(m: *Build.Module, libs: []const []const u8) void {
    for (libs) |lib| m.linkSystemLibrary(lib, .{ .use_pkg_config = .force });
}

pub fn addModule(
    b: *Build,
    s: Settings,
    files: []const []const u8,
    flags: []const []const u8,
) *Build.Module {
    const m = b.createModule(.{
        .target = s.target,
        .optimize = s.optimize,
        .link_libc = true,
        .omit_frame_pointer = false, // perf record --call-graph fp
        .sanitize_c = if (s.sanitize) |k| switch (k) {
            .undefined => .full,
            .trap => .trap,
            .none, .thread => .off,
        } else null,
        .sanitize_thread = s.sanitize == .thread,
    });
    m.addIncludePath(b.path("."));
    m.addCSourceFiles(.{ .files = files, .flags = concat(b, []const u8, &.{ c_flags, flags }) });
    m.addCSourceFile(.{ .file = s.stamp });
    return m;
}

/// An empty C file in a folder that is named after the contents of all headers. Every step compiles
/// it too, so that each looks at its files anew when a header changes. Without it Zig (0.17.1)
/// misses changes: a step that last took one of its objects from the cache has forgotten that one's
/// headers.
fn headerStamp(b: *Build) LazyPath {
    const copies = b.addWriteFiles();
    for (c_dirs) |dir| for (list(b, dir, ".h")) |h| {
        _ = copies.addCopyFile(b.path(h), h);
    };
    return copies.add("headers.c", "");
}

fn addProgram(
    b: *Build,
    kit: Kit,
    name: []const u8,
    files: []const []const u8,
    flags: []const []const u8,
) *Compile {
    const m = addModule(b, kit.settings, files, flags);
    if (kit.settings.jemalloc and kit.settings.sanitize != .thread) linkLibs(m, &.{"jemalloc"});
    const exe = b.addExecutable(.{ .name = name, .root_module = m });
    exe.pie = true;
    exe.build_id = .sha1;
    return exe;
}

// Files.

/// The sources of a part, less main.c, which is a program's.
pub fn partSources(b: *Build, part: Part, devices: Devices) []const []const u8 {
    var files: std.ArrayList([]const u8) = .empty;
    for (sources(b, @tagName(part))) |f| {
        if (std.mem.eql(u8, std.fs.path.basename(f), "main.c") or !devices.has(f)) continue;
        append(b, &files, f);
    }
    return files.items;
}

pub fn allFiles(b: *Build, suffix: []const u8) []const []const u8 {
    var files: std.ArrayList([]const u8) = .empty;
    for (c_dirs) |dir| for (list(b, dir, suffix)) |f| append(b, &files, f);
    return files.items;
}

pub fn sources(b: *Build, dir: []const u8) []const []const u8 {
    return list(b, dir, ".c");
}

/// The files under a folder in name order, none if there is no such folder. A file that is added or
/// removed is noticed by the next build.
pub fn list(b: *Build, dir: []const u8, suffix: []const u8) []const []const u8 {
    var names: std.ArrayList([]const u8) = .empty;
    walk(b, dir, suffix, &names);
    std.mem.sort([]const u8, names.items, {}, struct {
        fn lessThan(_: void, x: []const u8, y: []const u8) bool {
            return std.mem.lessThan(u8, x, y);
        }
    }.lessThan);
    return names.items;
}

fn walk(b: *Build, path: []const u8, suffix: []const u8, names: *std.ArrayList([]const u8)) void {
    const io = b.graph.io;
    var dir = b.root.openDir(io, path, .{ .iterate = true }) catch |e| switch (e) {
        // Look again when it may have come.
        error.FileNotFound => {
            const parent = std.fs.path.dirname(path) orelse ".";
            return b.dependOnDirectoryContents(b.path(parent));
        },
        else => std.debug.panic("{s}: {t}", .{ path, e }),
    };
    defer dir.close(io);
    b.dependOnDirectoryContents(b.path(path));
    var it = dir.iterate();
    while (it.next(io) catch |e| std.debug.panic("{s}: {t}", .{ path, e })) |entry| {
        const sub = b.fmt("{s}/{s}", .{ path, entry.name });
        if (entry.kind == .directory and !contains(skipped_dirs, entry.name)) {
            walk(b, sub, suffix, names);
        } else if (entry.kind == .file and std.mem.endsWith(u8, entry.name, suffix)) {
            append(b, names, sub);
        }
    }
}

fn isFile(b: *Build, file: []const u8) bool {
    const dir = std.fs.path.dirname(file) orelse ".";
    return contains(list(b, dir, std.fs.path.extension(file)), file);
}

fn contains(names: []const []const u8, name: []const u8) bool {
    for (names) |n| if (std.mem.eql(u8, n, name)) return true;
    return false;
}

pub fn append(b: *Build, items: anytype, item: std.meta.Elem(@TypeOf(items.items))) void {
    items.append(b.graph.arena, item) catch @panic("OOM");
}

pub fn concat(b: *Build, comptime T: type, slices: []const []const T) []const T {
    return std.mem.concat(b.graph.arena, T, slices) catch @panic("OOM");
}
