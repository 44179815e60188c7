"""`tfs-proxy dev-server`: the command lives with the dev server, which stands alone."""

from proxy.devserver.command import dev_server

__all__ = ["dev_server"]
