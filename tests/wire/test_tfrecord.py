"""CRC-32C against published vectors, and records against TensorFlow's own writer."""

import io

import pytest

from proxy.wire.tfrecord import CorruptRecordError, crc32c, frame, masked_crc32c, read_records

# tf.io.TFRecordWriter(...).write(b"abc"), TensorFlow 2.21
RECORD_OF_ABC = bytes.fromhex("0300000000000000b099490e6162636e57f121")


@pytest.mark.parametrize(
    ("data", "checksum"),
    [  # RFC 3720, appendix B.4, and the usual check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_gives_the_published_checksums(data, checksum):
    assert crc32c(data) == checksum


def test_a_record_that_tensorflow_wrote_is_read():
    assert list(read_records(io.BytesIO(RECORD_OF_ABC))) == [b"abc"]


def test_a_corrupt_record_is_told_by_its_number_and_byte():
    with pytest.raises(CorruptRecordError) as caught:
        list(read_records(io.BytesIO(RECORD_OF_ABC + RECORD_OF_ABC[:-1])))
    assert (caught.value.index, caught.value.offset) == (1, len(RECORD_OF_ABC))


def test_a_length_that_nothing_can_hold_is_refused_before_it_is_read():
    header = (2**40).to_bytes(8, "little")
    with pytest.raises(CorruptRecordError, match="claims"):
        list(read_records(io.BytesIO(header + masked_crc32c(header).to_bytes(4, "little"))))


def test_a_frame_of_parts_is_the_frame_of_the_whole():
    whole = bytes(range(256)) * 100
    paused = []
    before, behind = frame((whole[:7], whole[7:20_000], b"", whole[20_000:]), lambda: paused.append(True))
    assert list(read_records(io.BytesIO(before + whole + behind))) == [whole]
    assert len(paused) == 5
