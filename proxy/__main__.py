"""`python -m proxy` is `tfs-proxy`."""

from proxy.cli import main

if __name__ == "__main__":
    main(prog_name="tfs-proxy")
