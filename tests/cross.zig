//! The portable parts compiled for other systems. A part of build.zig.
const root = @import("../build.zig");
const Build = @import("std").Build;
const LazyPath = Build.LazyPath;
const Settings = root.Settings;
const addModule = root.addModule;
const libsluice = root.libsluice;
const partSources = root.partSources;
const portable = root.portable;

/// What builds for other systems: the tables anywhere, and the library without Linux's devices.
pub fn add(b: *Build, stamp: LazyPath) void {
    const step = b.step("cross", "Compile the portable parts for other systems");
    const headers = portableHeaders(b);
    const triples: []const []const u8 = &.{
        "aarch64-macos", "x86_64-macos", "aarch64-linux-gnu", "x86_64-linux-musl",
    };
    for (triples) |triple| {
        const query = Build.parseTargetQuery(.{ .arch_os_abi = triple }) catch @panic("bad target");
        const s: Settings = .{ .target = b.resolveTargetQuery(query), .stamp = stamp };
        const macos = s.target.result.os.tag == .macos;
        for (if (macos) libsluice else portable) |part| {
            const m = addModule(b, s, partSources(b, part, .macos), &.{});
            if (part.libs().len > 0) m.addSystemIncludePath(headers);
            const name = b.fmt("{t}-{s}", .{ part, triple });
            const lib = b.addLibrary(.{ .name = name, .linkage = .static, .root_module = m });
            _ = lib.getEmittedBin();
            step.dependOn(&lib.step);
        }
    }
}

/// A folder with the headers of liburcu, xxHash and OpenSSL: the rest of /usr/include is Linux's.
fn portableHeaders(b: *Build) LazyPath {
    const copies = b.addWriteFiles();
    const arch = b.fmt("/usr/include/{t}-linux-gnu", .{b.graph.host.result.cpu.arch});
    const urcu = b.graph.cwdRelativePath(b.fmt("{s}/urcu", .{arch}));
    const xxhash = b.graph.cwdRelativePath("/usr/include/xxhash.h");
    _ = copies.addCopyDirectory(urcu, "urcu", .{});
    _ = copies.addCopyFile(xxhash, "xxhash.h");
    const openssl = b.graph.cwdRelativePath("/usr/include/openssl");
    _ = copies.addCopyDirectory(openssl, "openssl", .{});
    for ([_][]const u8{ "opensslconf.h", "configuration.h" }) |name| {
        const file = b.fmt("{s}/openssl/{s}", .{ arch, name });
        _ = copies.addCopyFile(b.graph.cwdRelativePath(file), b.fmt("openssl/{s}", .{name}));
    }
    return copies.getDirectory();
}
