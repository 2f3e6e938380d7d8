//! The tests in which allocations fail (tests/allocation). A part of build.zig.
const std = @import("std");
const root = @import("../build.zig");
const Build = std.Build;
const Kit = root.Kit;
const Suite = root.Suite;
const addModule = root.addModule;
const append = root.append;
const linkCriterion = root.linkCriterion;
const linkLibs = root.linkLibs;
const partSources = root.partSources;
const sources = root.sources;
const suiteList = root.suiteList;
const wordList = root.wordList;

/// What tests/allocation puts in the place of the system's own.
const calls: []const []const u8 = &.{
    "malloc", "calloc",  "realloc", "reallocarray", "aligned_alloc", "strdup",
    "free",   "strndup", "mmap",    "munmap",       "fdopendir",
};

pub fn flags(b: *Build) []const []const u8 {
    const words = b.graph.alloc([]const u8, calls.len);
    for (words, calls) |*f, call| f.* = b.fmt("-D{s}=allocation_{s}", .{ call, call });
    return words;
}

/// From files to tables: compiled once more with those calls, and so are the tests. The rest is as
/// it always is.
pub fn files(b: *Build) []const []const u8 {
    var found: std.ArrayList([]const u8) = .empty;
    for (partSources(b, .lpm, .memory)) |f| append(b, &found, f);
    for (sources(b, "ctl")) |f| {
        const base = std.fs.path.basename(f);
        const wanted = [_][]const u8{
            "conf", "nearest.c", "load.c", "cache.c", "memory.c", "quick.c", "text.c",
        };
        for (wanted) |start| if (std.mem.startsWith(u8, base, start)) append(b, &found, f);
    }
    for ([_][]const u8{ "pipe", "ring" }) |name| {
        append(b, &found, b.fmt("dataplane/{s}.c", .{name}));
    }
    for (device) |name| append(b, &found, b.fmt("dataplane/wireguard/{s}.c", .{name}));
    for (sources(b, folder)) |f| {
        if (!std.mem.eql(u8, f, seam_file)) append(b, &found, f);
    }
    return found.items;
}

/// The tunnels' device, without the data path.
const device: []const []const u8 = &.{
    "aead", "aead_mb", "apply",  "claims", "cookie", "crypto",  "device",   "index",  "noise",
    "peer", "receive", "roster", "secret", "send",   "session", "snapshot", "timers",
};

const folder = "tests/allocation";
pub const seam_file = folder ++ "/allocation.c";

pub fn suites(b: *Build, kit: Kit) []const Suite {
    const s = kit.settings;
    const seam = addModule(b, s, &.{ seam_file, "tests/main.c" }, &.{});
    const m = addModule(b, s, files(b), flags(b));
    m.addObject(b.addObject(.{ .name = "allocation", .root_module = seam }));
    m.linkLibrary(kit.models);
    linkLibs(m, &.{ "zlib", "libcrypto", "libxxhash" });
    const exe = b.addExecutable(.{ .name = "test-allocation", .root_module = m });
    linkCriterion(exe);
    return suiteList(b, &.{.{
        .name = b.fmt("unit allocation {t}", .{s.optimize}),
        .words = wordList(b, &.{.{ .artifact = exe }}),
    }});
}
