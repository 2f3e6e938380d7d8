"""What pytest finds by itself: a Net for each test, and the daemon's log beside a failure."""

import pytest

import harness


def pytest_sessionstart():
    try:
        harness.become_root()
    except OSError as e:
        pytest.exit(f"needs root, or a user namespace: {e}", 1)


@pytest.fixture
def net():
    with harness.Net() as n:
        yield n


@pytest.fixture
def gateway(net):
    return harness.gateway_topology(net)


@pytest.fixture
def l3_gateway(net):
    if not harness.have_tun():
        pytest.skip("may not make TUN devices")
    return harness.gateway_topology(net, l3=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    net_ = getattr(item, "funcargs", {}).get("net")
    if report.failed and net_ is not None and net_.sluices:
        report.sections.append(("sluice", net_.logs()))
