"""What is to be written, in its order; and whoever has something is on the list once."""

from proxy.edge.native.http2.output import ROOM, Output


def test_frames_come_out_in_their_order_once():
    output = Output(None, [])
    for frame in (b"one", b"two"):
        output.put(frame)
    assert output.take() == [b"one", b"two"]
    assert output.take() == []


def test_who_has_something_to_write_is_listed_once_until_it_was_taken():
    ready = []
    one, other = Output("one", ready), Output("other", ready)
    one.put(b"a")
    other.put(b"b")
    one.put(b"c")
    assert ready == ["one", "other"]
    one.take()
    one.put(b"d")
    assert ready == ["one", "other", "one"]


def test_there_is_room_again_once_it_was_taken_unless_the_transport_has_enough():
    output = Output(None, [])
    output.room = 0
    output.take()
    assert output.room == ROOM
    output.pause()
    output.take()
    assert output.room == 0
    output.resume()
    assert output.room == ROOM
