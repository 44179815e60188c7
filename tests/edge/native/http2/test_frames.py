"""Frames as octets."""

from proxy.edge.native.http2 import frames


def test_the_head_has_nine_octets_in_the_order_of_the_rfc():
    octets = frames.pack_head(0x010203 << 8 | frames.DATA, frames.END_STREAM, 5)
    assert octets == bytes((1, 2, 3, 0, 1, 0, 0, 0, 5))


def test_control_frames_are_spelt_as_the_rfc_spells_them():
    assert frames.rst_stream(3, frames.CANCEL) == b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08"
    assert frames.window_update(0, 1) == b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01"
    assert frames.ping(b"12345678", ack=True) == b"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678"
    assert frames.goaway(1, frames.NO_ERROR, b"x") == b"\x00\x00\x09\x07" + bytes(5) + b"\0\0\0\1\0\0\0\0x"
    assert frames.settings({frames.ENABLE_PUSH: 0}) == b"\x00\x00\x06\x04" + bytes(5) + b"\0\2\0\0\0\0"
    assert frames.SETTINGS_ACK == b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"


def test_an_unknown_error_code_is_shown_as_a_number():
    assert frames.error_name(frames.CANCEL) == "CANCEL"
    assert frames.error_name(0xFF) == "0xff"
    assert frames.error_name(frames.CONNECTION_LOST) == "0x-1"
