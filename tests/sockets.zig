//! The tests of what the kernel's sockets do (tests/sockets), each in a namespace of its own. A
//! part of build.zig.
const std = @import("std");
const root = @import("../build.zig");
const Build = std.Build;
const Kit = root.Kit;
const Suite = root.Suite;

pub fn suites(b: *Build, kit: Kit) []const Suite {
    const tests = root.sources(b, "tests/sockets");
    const files = root.concat(b, []const u8, &.{ &.{"tests/main.c"}, tests });
    const m = root.addModule(b, kit.settings, files, &.{});
    m.linkLibrary(kit.models);
    m.linkLibrary(kit.library);
    for (root.libsluice) |part| root.linkLibs(m, part.libs());
    root.linkLibs(m, root.linux_libs);
    const exe = b.addExecutable(.{ .name = "test-sockets", .root_module = m });
    root.linkCriterion(exe);
    return root.suiteList(b, &.{.{
        .name = b.fmt("unit sockets {t}", .{kit.settings.optimize}),
        .words = root.wordList(b, &.{.{ .artifact = exe }}),
    }});
}
