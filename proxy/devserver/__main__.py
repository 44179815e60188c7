"""`python -m proxy.devserver`: the command without the rest of the command line."""

from proxy.devserver.command import dev_server

dev_server(prog_name="python -m proxy.devserver")
