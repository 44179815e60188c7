"""Who is measured, and how each is started: one entry per contestant, with the configuration it runs with.

Law: everyone gets one worker where its name says nothing else, no TLS, no access log, and limits that let every payload through; what is set
beyond that is what a careful operator would set. Nothing here measures.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.installation import Tools
from tests.bench.payloads import PREDICT, Files
from tests.bench.processes import free_port

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """What an entry is given: where the server is, where to listen, a folder of its own, tools and files."""

    upstream: int
    listen: int
    folder: Path
    tools: Tools
    files: Files

    def write(self, name: str, text: str) -> str:
        """Write a file into the folder; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


class Launch(NamedTuple):
    """Commands in the order in which they start, and the port that each opens."""

    commands: Sequence[Sequence[str]]
    ports: Sequence[int]


@dataclass(frozen=True)
class Contestant:
    """`judges`: refuses a PredictRequest with a wrong dtype. `launch` None: no proxy at all.

    `lacking` says why it cannot take part, "" when it can. `workers`: each a process below the first, where there
    are several.
    """

    name: str
    title: str
    judges: bool
    launch: Callable[[Site], Launch] | None
    lacking: Callable[[], str] = lambda: ""
    workers: int = 1


def _passthrough(site: Site) -> Launch:
    command = [sys.executable, str(HERE / "passthrough.py"), _local(site.listen), _local(site.upstream)]
    return Launch([command], [site.listen])


COMPILED = HERE.parents[1] / ".compiled" / "tree"
"""Where `make compiled` builds."""


def _not_compiled() -> str:
    """Why there is no compiled build of these sources, "" when there is one."""
    if not COMPILED.is_dir():
        return "`make compiled` has not been run, which needs a C compiler"
    root = HERE.parents[1]
    for source in [root / "pyproject.toml", *(root / "proxy").rglob("*.py")]:
        built = COMPILED / source.relative_to(root)
        if not built.exists() or built.read_bytes() != source.read_bytes():
            return f"`make compiled` was run before {source.relative_to(root)} was changed"
    told = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"],
        cwd=COMPILED,
        env=os.environ | {"PYTHONPATH": str(COMPILED)},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if "compiled" in told.stdout else "`make compiled` did not end well"


def _tfs_proxy(edge: str, tree: Path | None = None, workers: int = 1) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        command = [
            *(("env", f"--chdir={tree}", f"PYTHONPATH={tree}") if tree else ()),
            *(sys.executable, "-m", "proxy", "serve"),
            *("--upstream", _local(site.upstream), "--listen", _local(site.listen)),
            *("--admin-listen", "127.0.0.1:0", "--edge", edge, "--workers", str(workers)),
        ]
        return Launch([command], [site.listen])

    return launch


def _envoy(site: Site) -> Launch:
    config = site.write("envoy.yaml", _envoy_config(site))
    return Launch([_envoy_command(site, config)], [site.listen])


def _envoy_with_ext_proc(site: Site) -> Launch:
    judge = free_port()
    service = [
        *(sys.executable, str(HERE / "ext_proc.py"), _local(judge), _local(site.upstream)),
        str(site.tools.xds_protos),
    ]
    config = site.write("envoy.yaml", _envoy_config(site, judge))
    return Launch([service, _envoy_command(site, config)], [judge, site.listen])


def _envoy_command(site: Site, config: str) -> list[str]:
    return [
        *(str(site.tools.envoy), "--config-path", config, "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    ]


def _envoy_config(site: Site, judge: int | None = None) -> str:
    filters = [_GRPC_STATS, _ROUTER] if judge is None else [_GRPC_STATS, _EXT_PROC, _ROUTER]
    clusters = [_cluster("tfs", site.upstream)]
    if judge is not None:
        clusters.append(_cluster("judge", judge))
    # Only Predict is judged; the buffer holds the largest payload.
    relayed = '{match: {prefix: "/"}, route: {cluster: tfs, timeout: 0s}%s}'
    routes = [
        relayed % "",
        relayed % ", typed_per_filter_config: {judge: {%s.ExtProcPerRoute, disabled: true}}" % _EXT_PROC_TYPE,
    ][judge is not None]
    predict = f'{{match: {{path: "{PREDICT}"}}, route: {{cluster: tfs, timeout: 0s}}}}'
    return f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {site.listen}}}}}
    per_connection_buffer_limit_bytes: {_ENVOY_BUFFER if judge is not None else 1 << 20}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP2
          stat_prefix: bench
          http_filters: [{", ".join(filters)}]
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{predict}, {routes}]}}]}}
  clusters: [{", ".join(clusters)}]
"""


_TYPES = "type.googleapis.com/envoy.extensions"
_ENVOY_BUFFER = 64 << 20
_EXT_PROC_TYPE = f'"@type": {_TYPES}.filters.http.ext_proc.v3'
_GRPC_STATS = (
    f'{{name: stats, typed_config: {{"@type": {_TYPES}.filters.http.grpc_stats.v3.FilterConfig, '
    "emit_filter_state: false, enable_upstream_stats: true, stats_for_all_methods: true}}"
)
_EXT_PROC = (
    f"{{name: judge, typed_config: {{{_EXT_PROC_TYPE}.ExternalProcessor, "
    "grpc_service: {envoy_grpc: {cluster_name: judge}}, message_timeout: 60s, "
    "processing_mode: {request_header_mode: SKIP, response_header_mode: SKIP, request_body_mode: BUFFERED}}}"
)
_ROUTER = f'{{name: router, typed_config: {{"@type": {_TYPES}.filters.http.router.v3.Router}}}}'


def _cluster(name: str, port: int) -> str:
    return f"""{{name: {name}, type: STATIC,
    circuit_breakers: {{thresholds: [{{max_requests: 100000, max_pending_requests: 100000}}]}},
    typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{
      "@type": {_TYPES}.upstreams.http.v3.HttpProtocolOptions,
      explicit_http_config: {{http2_protocol_options: {{}}}}}}}},
    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address:
      {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}}}"""


def _nginx(site: Site) -> Launch:
    # keepalive and worker_connections: nginx has one request at a time on each connection to the server.
    config = site.write(
        "nginx.conf",
        f"""\
daemon off;
worker_processes 1;
pid {site.folder}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile 32768;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {site.folder}/body;
  proxy_temp_path {site.folder}/proxy;
  fastcgi_temp_path {site.folder}/fastcgi;
  uwsgi_temp_path {site.folder}/uwsgi;
  scgi_temp_path {site.folder}/scgi;
  client_max_body_size 0;
  upstream tfs {{ server {_local(site.upstream)}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen {_local(site.listen)} http2;
    keepalive_requests 100000000;
    http2_max_concurrent_streams 1024;
    location / {{ grpc_pass grpc://tfs; grpc_read_timeout 600s; grpc_send_timeout 600s; }}
  }}
}}
""",
    )
    return Launch([[site.tools.nginx, "-p", str(site.folder), "-c", config]], [site.listen])


def _haproxy(site: Site) -> Launch:
    config = site.write(
        "haproxy.cfg",
        f"""\
global
  nbthread 1
  maxconn 4096
  tune.h2.max-concurrent-streams 1024
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
listen tfs
  bind {_local(site.listen)} proto h2
  server tfs {_local(site.upstream)} proto h2
""",
    )
    return Launch([[site.tools.haproxy, "-db", "-f", config]], [site.listen])


def _mitmproxy(site: Site) -> Launch:
    command = [
        *("env", f"SIGNATURES={site.files.signatures}", f"DESCRIPTORS={site.files.descriptors}"),
        *(str(site.tools.mitmdump), "--quiet", "--mode", f"reverse:http://{_local(site.upstream)}"),
        *("--listen-host", "127.0.0.1", "--listen-port", str(site.listen)),
        *("--set", f"confdir={site.folder}", "--scripts", str(HERE / "mitmproxy_addon.py")),
    ]
    return Launch([command], [site.listen])


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"


CONTESTANTS = (
    Contestant("direct", "no proxy", judges=False, launch=None),
    Contestant(
        "compiled",
        "tfs-proxy, compiled",
        judges=True,
        launch=_tfs_proxy("native", COMPILED),
        lacking=_not_compiled,
    ),
    Contestant(
        "workers",
        "tfs-proxy, compiled, 2 workers",
        judges=True,
        launch=_tfs_proxy("native", COMPILED, workers=2),
        lacking=_not_compiled,
        workers=2,
    ),
    Contestant("native", "tfs-proxy, interpreted", judges=True, launch=_tfs_proxy("native")),
    Contestant("grpcio", "tfs-proxy, grpcio edge", judges=True, launch=_tfs_proxy("grpcio")),
    Contestant("envoy", "Envoy", judges=False, launch=_envoy),
    Contestant("nginx", "nginx", judges=False, launch=_nginx),
    Contestant("haproxy", "HAProxy", judges=False, launch=_haproxy),
    Contestant("passthrough", "grpc.aio pass-through", judges=False, launch=_passthrough),
    Contestant("ext_proc", "Envoy + ext_proc + our gate", judges=True, launch=_envoy_with_ext_proc),
    Contestant("mitmproxy", "mitmproxy + add-on", judges=True, launch=_mitmproxy),
)
