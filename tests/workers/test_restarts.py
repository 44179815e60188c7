"""A worker that ends again and again is started again less and less often; when none can start there is an end."""

from proxy.workers.restarts import STEADY_SECONDS, Restarts, hopeless


def test_one_that_has_lived_for_a_while_is_started_again_at_once():
    assert Restarts().after(STEADY_SECONDS, served=True) == 0


def test_one_that_ends_soon_waits_twice_as_long_each_time_up_to_half_a_minute():
    restarts = Restarts()
    waits = [restarts.after(0.1, served=True) for _ in range(2000)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert set(waits[7:]) == {30.0}
    assert restarts.after(STEADY_SECONDS, served=True) == 0
    assert restarts.after(1, served=True) == 0.25


def test_there_is_no_hope_when_on_no_post_one_could_start_for_some_time():
    one, other = Restarts(), Restarts()
    for _ in range(5):
        assert not hopeless([one, other])
        one.after(100, served=False)
    for _ in range(5):
        assert not hopeless([one, other])
        other.after(0, served=False)
    assert hopeless([one, other])
    other.after(0, served=True)
    assert not hopeless([one, other])
