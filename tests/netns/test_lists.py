"""Long lists: kept over a restart, and refused when memory is too little for them."""

import os
import resource
import time

import pytest

from harness import Sluice
from test_egress import LISTED4, OTHER4, conf

LINES = 20000
LONG = "198.51.100.0/24\n" + "".join(f"10.{i // 256}.{i % 256}.0/24\n" for i in range(LINES))


def long_conf(cache):
    return conf(queues=1).replace("[Egress direct]", f"Cache = {cache}\n[Egress direct]", 1)


def cached(sluice):
    lines = [line for line in sluice.log().splitlines() if "from the cache" in line]
    return lines[-1].split("ms, ")[1].split(" from")[0]


def answers(sluice, address, egress):
    return sluice.json("get", address)["egress"] == egress


def test_a_long_list_is_kept(gateway):
    cache = gateway.gw.net.path("cache")
    sluice = Sluice(gateway.gw, long_conf(cache), files={"listed.txt": LONG}, wait=False)
    sluice.stop()
    time.sleep(2.2)
    results = []
    for text in (None, None, LONG + "192.88.99.0/24\n"):
        if text:
            sluice.write("listed.txt", text)
        sluice.start()
        results.append(cached(sluice))
        assert sluice.json("list", "show")["lists"][0]["v4"] == LINES + 1 + bool(text)
        assert answers(sluice, LISTED4, "direct") and answers(sluice, OTHER4, "vpn")
        assert sluice.stop() == 0
    assert results == ["0 of 1", "1 of 1", "0 of 1"]
    # What somebody else could have written is not believed, and breaks nothing.
    (entry,) = os.listdir(cache)
    os.chmod(os.path.join(cache, entry), 0o666)
    sluice.start()
    assert cached(sluice) == "0 of 1"
    assert sluice.stop() == 0


def test_a_cache_that_cannot_be_written_is_told_once(gateway):
    sluice = Sluice(gateway.gw, long_conf("/proc/sluice"), files={"listed.txt": LONG}, wait=False)
    sluice.stop()
    time.sleep(2.2)
    sluice.start()
    sluice.reload()
    sluice.reload()
    assert sluice.log().count("cannot keep lists in /proc/sluice") == 1


def test_too_little_memory_changes_nothing(gateway):
    sluice = Sluice(gateway.gw, conf(), files={"listed.txt": "198.51.100.0/24\n"})
    small = sluice.json("status")["table_bytes"]
    with open(f"/proc/{sluice.process.pid}/statm", encoding="ascii") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(sluice.process.pid, resource.RLIMIT_AS)
    resource.prlimit(sluice.process.pid, resource.RLIMIT_AS, (size + (64 << 20), before[1]))
    sluice.write("listed.txt", "198.51.100.0/24\n45.5.52.0/22\n" +
                 "".join(f"{a}.{b}.{c}.1\n" for a in range(20, 31) for b in range(256)
                         for c in range(256)))
    refused = r"(needs (more|about) |out of memory: ).*are available(.|\n)*nothing was changed"
    with pytest.raises(RuntimeError, match=refused):
        sluice.reload()
    assert sluice.json("status")["generation"] == 1
    assert sluice.json("status")["table_bytes"] == small
    assert answers(sluice, LISTED4, "direct") and answers(sluice, "45.5.52.9", "vpn")
    resource.prlimit(sluice.process.pid, resource.RLIMIT_AS, before)
    assert "generation 2" in sluice.reload().stdout
    assert answers(sluice, "45.5.52.9", "direct")
