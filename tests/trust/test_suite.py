"""What a part that is pytest tests tells of them."""

from tests.trust.suite import Case, case_by_case


def case(name: str, outcome: str, build: str = "interpreted") -> Case:
    return Case("tests.faults.test_servers", name, build, outcome, "")


def test_case_by_case_a_row_has_the_worst_outcome_for_each_column_and_build():
    table = case_by_case(
        [
            case("test_a_server_that_is[native-shut-down]", "passed"),
            case("test_a_server_that_is[grpcio-shut-down]", "failed"),
            case("test_a_server_that_is[native-shut-down]", "skipped", "compiled"),
            case("test_of_no_edge_s_making", "passed"),
        ],
        ("interpreted", "compiled"),
        ("native", "grpcio"),
    )
    assert table.columns[1:] == (
        "native, interpreted",
        "native, compiled",
        "grpcio, interpreted",
        "grpcio, compiled",
    )
    assert table.rows == [
        ("servers: a server that is shut down", "passed", "skipped", "failed", ""),
        ("servers: of no edge's making", "passed", "", "passed", ""),
    ]
