"""One problem while it is counted: when it comes, who sends it, its newest examples."""

from tests.observe.mistaken import call


def test_the_sparkline_is_the_last_hour_also_when_nothing_comes_any_more(problems, clock):
    problems.call_ended(call())
    clock.pass_(minutes=3)
    problems.call_ended(call())
    (problem,) = problems.select()
    assert problem.sparkline[-4:] == (1, 0, 0, 1)
    clock.pass_(minutes=58)
    (problem,) = problems.select()
    assert (sum(problem.sparkline), problem.sparkline[1], problem.minute) == (
        1,
        1,
        int(clock.now.timestamp()) // 60,
    )
    clock.pass_(days=2)
    (problem,) = problems.select()
    assert problem.sparkline == (0,) * 60
    assert problem.count == 2


def test_a_clock_that_is_put_back_loses_nothing(problems, clock):
    problems.call_ended(call())
    clock.pass_(minutes=-10)
    problems.call_ended(call())
    assert problems.select()[0].sparkline[-1] == 2


def test_senders_are_told_apart_by_address_identity_and_user_agent_and_not_by_port(problems, clock):
    for peer, agent in (
        ("192.0.2.1:1", "a"),
        ("192.0.2.1:2", "a"),
        ("192.0.2.1:3", "b"),
        ("192.0.2.9:1", "a"),
    ):
        clock.pass_(seconds=1)
        problems.call_ended(call(peer=f"ipv4:{peer}", user_agent=agent))
    (problem,) = problems.select()
    assert [(each.peer, each.user_agent, each.count) for each in problem.senders] == [
        ("ipv4:192.0.2.1", "a", 2),
        ("ipv4:192.0.2.1", "b", 1),
        ("ipv4:192.0.2.9", "a", 1),
    ]


def test_one_address_that_invents_user_agents_does_not_push_out_the_other_senders(problems):
    problems.call_ended(call(peer="ipv4:192.0.2.9:1", user_agent="honest"))
    for number in range(100):
        problems.call_ended(call(user_agent=f"invented {number}"))
    for _ in range(3):
        problems.call_ended(call(peer="ipv4:192.0.2.9:1", user_agent="honest"))
    (problem,) = problems.select()
    assert (problem.senders[0].user_agent, problem.senders[0].count) == ("honest", 4)
    assert len(problem.senders) == 8
    assert problem.more_senders == 93
    assert problem.count == 104


def test_the_newest_examples_are_kept(problems, clock):
    for number in range(9):
        clock.pass_(seconds=1)
        problems.call_ended(call(request_id=str(number)))
    assert [each.request_id for each in problems.select()[0].examples] == ["8", "7", "6", "5", "4"]
