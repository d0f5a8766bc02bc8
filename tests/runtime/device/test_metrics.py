from coachc.runtime.device.metrics import Summary, mean, summarize


def test_percentiles_by_hand():
    assert summarize([float(value) for value in range(101)]) == Summary(50.0, 50.0, 95.0, 99.0)
    assert summarize([2.0]) == Summary(2.0, 2.0, 2.0, 2.0)
    assert summarize([]) == Summary(0.0, 0.0, 0.0, 0.0)
    assert (mean([1.0, 2.0]), mean([])) == (1.5, 0.0)
