import pytest

from coral import jail


def pytest_generate_tests(metafunc):
    if "driver" in metafunc.fixturenames:
        metafunc.parametrize("driver", ["bubblewrap", "plain"], indirect=True)


@pytest.fixture
def driver(request):
    """The name of a driver that works here; what a machine cannot have is skipped, with the reason."""
    finding = next(one for one in jail.findings() if one.driver == request.param)
    if not finding.works:
        pytest.skip(f"{finding.driver}: {finding.why} -> {finding.remedy}")
    return finding.driver
