"""What an upstream's error answer means: code and text in, one sentence and a remedy out.

Law: pure, as `core` is: no I/O, clock, grpc or protobuf. It only adds words; code and text of the upstream
stay what they are, and a text that no row knows gets no diagnosis rather than a guess. Rows match stable
fragments of texts (measured on TF Serving 2.18.1 and 2.20.0, or quoted in users' reports back to 2016), so
that rewording around them does no harm. Texts are matched, never trusted: they may quote a client's bytes.
"""

from proxy.diagnosis.answer import Call, Diagnosis
from proxy.diagnosis.table import diagnose, diagnose_load_error

__all__ = ["Call", "Diagnosis", "diagnose", "diagnose_load_error"]
