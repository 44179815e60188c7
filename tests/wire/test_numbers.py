"""Ranges of values, also of dtypes that TensorFlow has not yet."""

import pytest

from proxy.core.types import DType
from proxy.wire import numbers
from tests.property.wire import varint

ONE_BIT = DType(99, "int1", 1, "int_val", 1, -1, 0)


@pytest.mark.parametrize(("value", "within"), [(0, True), (-1, True), (1, False), (-2, False), (128, False)])
def test_a_dtype_of_one_bit_has_two_values(value, within):
    data = varint(0) + varint(value)
    assert numbers.varints_fit(ONE_BIT, data, 0, len(data)) is within
