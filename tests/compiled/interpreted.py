"""The proxy from its sources, also where compiled modules lie beside them: `python -m tests.compiled.interpreted serve …`."""

from tests.compiled.traffic import interpret_sources

if __name__ == "__main__":
    interpret_sources()
    from proxy.cli import main

    main(prog_name="tfs-proxy")
