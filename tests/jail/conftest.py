import pytest

from coral import jail


def _that_works(name):
    """The name of a driver that works here; what a machine cannot have is skipped, with the reason."""
    finding = next(one for one in jail.findings() if one.driver == name)
    if not finding.works:
        pytest.skip(f"{finding.driver}: {finding.why} -> {finding.remedy}")
    return finding.driver


@pytest.fixture(params=["bubblewrap", "bubblewrap_exec", "plain"])
def driver(request):
    """Each driver that a test machine can have."""
    return _that_works(request.param)


@pytest.fixture(params=["bubblewrap", "bubblewrap_exec"])
def walls(request):
    """Each driver that isolates and that a test machine can have."""
    return _that_works(request.param)


@pytest.fixture
def bubblewrap():
    """The driver that is used where it works."""
    return _that_works("bubblewrap")


@pytest.fixture
def afresh():
    """The driver for where an interpreter cannot be forked."""
    return _that_works("bubblewrap_exec")


@pytest.fixture(scope="module")
def pool():
    """Keeps the workers between the tests of a module: to start them takes longer than most checks. Tests of
    other modules look at how workers end, which these here hold up.
    """
    job = jail.in_use()
    _run(job.__aenter__())
    yield
    _run(job.__aexit__(None, None, None))


def _run(coroutine):
    """Entering and leaving wait for nothing, so that no event loop is needed, which would end with a test."""
    with pytest.raises(StopIteration):
        coroutine.send(None)
