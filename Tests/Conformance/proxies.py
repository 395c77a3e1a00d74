"""The proxies under test: how each is configured, started and ended.

Portico is the subject. HAProxy and nginx are there to check the harness: a case
that both fail deserves a second look at the case.
"""

import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

STARTS_WITHIN = 10.0
STOPS_WITHIN = 0.5  # A drain is not the subject here; after this it is killed.


@dataclass(frozen=True)
class Timers:
    """The timers that cases wait for. Seconds; the body rate in bytes per second."""

    request_head: float = 10
    body_grace: float = 5
    body_rate: int = 500
    response_head: float = 30

    @property
    def limit(self):
        """Within this a timer must have ended its case: 45 s by the table, 8 s when shortened."""
        return 45.0 if self.request_head >= 10 else 8.0


NORMAL = Timers()
SHORT = Timers(request_head=3, body_grace=2, body_rate=500, response_head=3)


def make_certificate(folder):
    """A key and a certificate that signs itself, in one file; nothing secret depends on it."""
    path = os.path.join(folder, "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=a", "-addext", "subjectAltName=DNS:a,IP:127.0.0.1", "-keyout", path, "-out", path + ".part"],
        check=True, capture_output=True,
    )  # fmt: skip
    with open(path + ".part", "rb") as part, open(path, "ab") as whole:
        whole.write(part.read())
    return path


def free_port():
    """Below the ports that the kernel gives to clients, of whom there are many beside us."""
    while True:
        port = random.randrange(15_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port), reuse_port=False):
                return port
        except OSError:
            continue


class Proxy:
    """A child process with a configuration file in a folder of its own."""

    name = None
    config_name = "config"
    backends = ("h1", "h2")  # What it can speak to backends.

    def __init__(self, binary, folder, backend, dead_port, deaf_port, certificate, timers=NORMAL):
        self.binary = binary
        self.folder = folder
        self.backend = backend
        self.ports = {"backend": backend.port, "dead": dead_port, "deaf": deaf_port}
        self.certificate = certificate
        self.timers = timers
        self.process = None
        self.closed = False  # Set at the end of the run: nothing is started any more.
        os.makedirs(folder, exist_ok=True)

    # For each kind of proxy.

    def config(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    # The same for all.

    def start(self):
        """Free ports may be taken by somebody else before the proxy listens: then with others."""
        for last in (False, False, True):
            try:
                return self._start()
            except RuntimeError as error:
                if last or not ("in use" in str(error) or "annot bind" in str(error)):
                    raise
                self.stop()

    def _start(self):
        if self.closed:
            raise RuntimeError("the run is over")
        for name in ("listen", "listen_h2", "tls", "proxied", "admin"):
            self.ports[name] = free_port()
        self.config_path = os.path.join(self.folder, self.config_name)
        with open(self.config_path, "w") as file:
            file.write(self.config())
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(
                    "%s ended with %s at its start:\n%s"
                    % (self.name, self.process.returncode, self.log_tail())
                )
            try:
                for port in ("listen", "proxied", "tls"):
                    socket.create_connection(("127.0.0.1", self.ports[port]), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(
            "%s does not accept after %.0f s:\n%s" % (self.name, STARTS_WITHIN, self.log_tail())
        )

    # One port for both versions, unless a proxy cannot.
    clear_h2 = "listen"

    @property
    def address(self):
        return ("127.0.0.1", self.ports["listen"])

    def address_for(self, client):
        """Where clients of that kind connect."""
        port = "tls" if client.endswith("s") else self.clear_h2 if client == "h2" else "listen"
        return ("127.0.0.1", self.ports[port])

    def only_h2(self, client):
        """Where nothing but HTTP/2 is spoken: h2spec takes an answer of HTTP/1.1 for a fault."""
        return ("127.0.0.1", self.ports["tls" if client.endswith("s") else "listen_h2"])

    @property
    def proxied_address(self):
        """The listener that speaks PROXY protocol."""
        return ("127.0.0.1", self.ports["proxied"])

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log_tail(self, limit=1500):
        """The end of its log; from its last word on where it crashed, since a backtrace is long."""
        with open(os.path.join(self.folder, "log"), "rb") as log:
            text = log.read().decode("utf-8", "replace")
        crash = max(text.rfind("Fatal error"), text.rfind("Program crashed"), text.rfind("System trap"))
        return text[crash : crash + limit] if crash >= 0 else text[-limit:]

    def memory_bytes(self):
        try:
            with open("/proc/%d/statm" % self.process.pid) as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def ends_soon(self, seconds=0.2):
        """Waits a moment for a process that may be dying; says whether it is dead."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        return not self.alive()

    def stop(self):
        """By its own pid, politely first."""
        if not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        if not self.ends_soon(STOPS_WITHIN):
            self.process.kill()
            self.process.wait()


class Portico(Proxy):
    name = "portico"
    config_name = "portico.yaml"

    def command(self):
        return [self.binary, "run", "-c", self.config_path]

    def config(self):
        t = self.timers
        values = dict(
            self.ports,
            head=t.request_head,
            grace=t.body_grace,
            rate=t.body_rate,
            certificate=self.certificate,
        )
        pool = lambda name, policy, *ports: PORTICO_POOL.format(
            name=name,
            backends=", ".join("{address: 127.0.0.1:%d}" % port for port in ports),
            policy=policy,
            protocol=self.backend.version,
            response_head=t.response_head,
        )
        return (
            PORTICO_LISTENERS.format(**values)
            + pool("main", "round_robin", self.ports["backend"])
            + pool("dead", "round_robin", self.ports["dead"])
            + pool("deaf", "round_robin", self.ports["deaf"])
            + pool("spread", "weighted_score", *self.backend.members)
            + PORTICO_ROUTES
        )


PORTICO_LISTENERS = """\
listeners:
  - address: 127.0.0.1:{listen}
    proxy_protocol: false
    timeouts: {{request_head: {head}s, idle: 600s, body_grace: {grace}s}}
    limits: {{head: 32KiB, target: 8KiB, fields: 128, body_rate: {rate}B}}
  - address: 127.0.0.1:{listen_h2}
    protocols: [h2]
    timeouts: {{request_head: {head}s, idle: 600s, body_grace: {grace}s}}
    limits: {{head: 32KiB, target: 8KiB, fields: 128, body_rate: {rate}B}}
  - address: 127.0.0.1:{tls}
    tls: {{hosts: [{{certificates: [{{certificate: {certificate}}}]}}]}}
    timeouts: {{request_head: {head}s, idle: 600s, body_grace: {grace}s}}
    limits: {{head: 32KiB, target: 8KiB, fields: 128, body_rate: {rate}B}}
  - address: 127.0.0.1:{proxied}
    proxy_protocol: true
    trusted_proxies: [127.0.0.0/8]
    timeouts: {{request_head: {head}s, idle: 600s, body_grace: {grace}s}}
    limits: {{head: 32KiB, target: 8KiB, fields: 128, body_rate: {rate}B}}
admin: {{address: 127.0.0.1:{admin}}}
access_log: {{path: off}}
drain: {{settle: 0s, deadline: 10s}}
pools:
"""

# The breaker stays off: hostile backends are the subject, not their exclusion.
PORTICO_POOL = """\
  - name: {name}
    backends: [{backends}]
    balance: {{policy: {policy}}}
    protocol: {protocol}
    timeouts: {{connect: 2s, first_byte: 600s, response_head: {response_head}s,
               between_chunks: 120s, idle: 4s}}
    retry: {{attempts: 2}}
    breaker: {{enabled: false}}
"""

PORTICO_ROUTES = """\
routes:
  - {path_prefix: /admin, refuse: 403}
  - {path_prefix: /dead, pool: dead}
  - {path_prefix: /deaf, pool: deaf}
  - {path_prefix: /spread, pool: spread}
  - {path_prefix: /, pool: main}
"""


class HAProxy(Proxy):
    name = "haproxy"
    config_name = "haproxy.cfg"

    def command(self):
        return [self.binary, "-f", self.config_path]

    def config(self):
        t = self.timers
        proto = "proto h2" if self.backend.version == "h2" else ""
        spread = "".join(
            "    server m%d 127.0.0.1:%d %s\n" % (number, port, proto) for number, port in enumerate(self.backend.members)
        )
        return HAPROXY.format(
            head=int(t.request_head),
            response=int(t.response_head),
            certificate=self.certificate,
            proto=proto,
            spread=spread,
            **self.ports,
        )


HAPROXY = """\
global
    nbthread 2
    maxconn 8000
    tune.bufsize 40000
    tune.http.maxhdr 128

defaults
    mode http
    timeout connect 2s
    timeout client 600s
    timeout server 600s
    timeout http-request {head}s
    timeout http-keep-alive 600s
    retries 1
    http-reuse always
    option forwardfor
    option http-no-delay
    option abortonclose

frontend clients
    bind 127.0.0.1:{listen} backlog 4096
    bind 127.0.0.1:{proxied} backlog 4096 accept-proxy
    bind 127.0.0.1:{listen_h2} backlog 4096 proto h2
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {certificate} alpn h2,http/1.1
    http-request deny deny_status 403 if {{ path_beg /admin }}
    http-request del-header X-Real-IP
    http-request del-header X-Forwarded-Host
    use_backend dead if {{ path_beg /dead }}
    use_backend deaf if {{ path_beg /deaf }}
    use_backend spread if {{ path_beg /spread }}
    default_backend main

backend main
    server b 127.0.0.1:{backend} pool-purge-delay 4s {proto}

backend spread
{spread}
backend dead
    server b 127.0.0.1:{dead}

backend deaf
    server b 127.0.0.1:{deaf}
"""


class Nginx(Proxy):
    name = "nginx"
    config_name = "nginx.conf"
    clear_h2 = "listen_h2"
    backends = ("h1",)

    def command(self):
        return [self.binary, "-e", os.path.join(self.folder, "error.log"), "-c", self.config_path]

    def config(self):
        return (
            NGINX.replace("@DIR@", self.folder)
            .replace("@HEAD@", str(int(self.timers.request_head)))
            .replace("@LISTEN@", str(self.ports["listen"]))
            .replace("@LISTEN2@", str(self.ports["listen_h2"]))
            .replace("@TLS@", str(self.ports["tls"]))
            .replace("@CERTIFICATE@", self.certificate)
            .replace("@MEMBERS@", " ".join("server 127.0.0.1:%d;" % port for port in self.backend.members))
            .replace("@PROXIED@", str(self.ports["proxied"]))
            .replace("@BACKEND@", str(self.ports["backend"]))
            .replace("@DEAD@", str(self.ports["dead"]))
            .replace("@DEAF@", str(self.ports["deaf"]))
        )


NGINX = """\
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    client_header_timeout @HEAD@s;
    client_max_body_size 64m;
    large_client_header_buffers 4 32k;
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    upstream spread { @MEMBERS@ keepalive 4096; }
    upstream main { server 127.0.0.1:@BACKEND@; keepalive 4096; keepalive_timeout 4s; }
    server {
        listen 127.0.0.1:@LISTEN@ backlog=4096;
        listen 127.0.0.1:@LISTEN2@ http2 backlog=4096;
        listen 127.0.0.1:@TLS@ ssl http2 backlog=4096;
        ssl_certificate @CERTIFICATE@;
        ssl_certificate_key @CERTIFICATE@;
        listen 127.0.0.1:@PROXIED@ proxy_protocol backlog=4096;
        set_real_ip_from 127.0.0.0/8;
        real_ip_header proxy_protocol;
        proxy_http_version 1.1;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header X-Real-IP $remote_addr;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_connect_timeout 2s;
        proxy_read_timeout 600s;
        proxy_send_timeout 600s;
        location /admin { return 403; }
        location /dead { proxy_pass http://127.0.0.1:@DEAD@; }
        location /spread { proxy_pass http://spread; }
        location /deaf { proxy_pass http://127.0.0.1:@DEAF@; }
        location / { proxy_pass http://main; }
    }
}
"""

PEERS = {"haproxy": (HAProxy, "/usr/sbin/haproxy"), "nginx": (Nginx, "/usr/sbin/nginx")}
