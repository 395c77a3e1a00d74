import Primitives
import SettingsFile

/// `Config/full.yaml`: every key with its default and its meaning, made from the same description
/// as the parser. Where a key has no default, a likely value stands.
package func annotatedExample() -> String {
  var writer = YAMLWriter(showSecrets: false, isAnnotated: true)
  writer.write(Schema().root.entries(exampleSettings, defaults: Settings()), indent: 0)
  return """
    # Every key of a Portico configuration with its default and its meaning. All but the names,
    # addresses and routes may be left out; minimal.yaml shows what must stay.
    #
    # Durations need a unit (250ms 10s 5m 1h), and so do sizes (500B 64KiB 1MB). Shares are
    # written 0.5 or 50%. ${NAME} and ${NAME:-default} are taken from the environment; $$ is a
    # dollar sign. Anchors, aliases and merge keys (<<) work; keys at the top that begin with x-
    # are ignored, as a home for anchors. 'include: conf.d' reads further files.
    #
    # yaml-language-server: $schema=portico.schema.json


    """ + writer.text
}

/// One of everything.
private var exampleSettings: Settings {
  var settings = Settings()
  var listener = ListenerSettings()
  listener.name = "public"
  listener.healthPath = "/lb-health"
  listener.trustedProxies = [AddressBlock(high: 0, low: 0xffff_0a00_0000, prefixBits: 104)]
  listener.tls = exampleTLS
  settings.listeners = [listener]
  var admin = AdminSettings()
  admin.token = "example"
  settings.admin = admin
  settings.pools = [
    examplePool("chat", ports: [9001, 9002]), examplePool("sessions", ports: [9003, 9004]),
  ]
  settings.pools[0].backends[1].weight = 2
  settings.pools[0].health = HealthSettings()
  settings.pools[0].tls = examplePoolTLS
  settings.pools[1].health = HealthSettings()
  settings.pools[1].health?.probe = .grpc(service: "inference.GRPCInferenceService")
  settings.pools[1].balance.policy = .consistentHash
  settings.pools[1].balance.hashKey = .cookie("session")
  settings.routes = [
    exampleRoute("chat", .pool("chat")) {
      $0.host = "api.example.org"
      $0.path = .prefix("/v1")
      $0.methods = ["GET", "POST"]
    },
    exampleRoute("old", .refuse(status: 410)) { $0.path = .exact("/v0/engines") },
    exampleRoute("sessions", .pool("sessions")) { _ in },
  ]
  guards(&settings)
  return settings
}

private var exampleTLS: ListenerTLSSettings {
  var tls = ListenerTLSSettings()
  var certificate = CertificateSettings()
  certificate.certificate = "/etc/portico/tls/portico.pem"
  certificate.key = "/etc/portico/tls/portico.key"
  certificate.ocsp = "/etc/portico/tls/portico.ocsp"
  var auth = ClientAuthSettings()
  auth.ca = "/etc/portico/tls/clients.pem"
  auth.mode = .optional
  var host = TLSHost()
  host.name = "api"
  host.names = ["api.example.org", "*.api.example.org"]
  host.certificates = [certificate]
  tls.hosts = [host]
  tls.defaultHost = "api"
  tls.clientAuth = auth
  tls.tickets.keys = "/etc/portico/tls/tickets.key"
  return tls
}

private var examplePoolTLS: PoolTLSSettings {
  var tls = PoolTLSSettings()
  tls.ca = "/etc/portico/tls/fleet.pem"
  tls.serverName = "engines.internal"
  tls.certificate = "/etc/portico/tls/portico.pem"
  tls.key = "/etc/portico/tls/portico.key"
  return tls
}

private func guards(_ settings: inout Settings) {
  var key = APIKeySettings()
  key.name = "team-a"
  key.sha256 = Schema.exampleHash
  settings.apiKeys = [key]
  settings.apiKeysFile = "keys.yaml"
  var jwt = JWTSettings()
  jwt.issuer = "https://login.example.org"
  jwt.audience = "portico"
  jwt.keysFile = "jwks.json"
  settings.jwt = jwt
  settings.pools[0].apiKey = "example-key"
  settings.routes[0].access.authenticate = .either
  settings.routes[0].limits.body = 32 << 20
  var cors = CORSSettings()
  cors.origins = ["https://app.example.org"]
  settings.routes[0].cors = cors
  settings.listeners[0].access.authenticate = AuthenticationSetting.none
}

private func examplePool(_ name: String, ports: [UInt16]) -> PoolSettings {
  var pool = PoolSettings()
  pool.name = name
  pool.backends = ports.enumerated().map { index, port in
    var backend = BackendSettings()
    backend.name = "gpu\(index + 1)"
    backend.address = .ipv4(0x7f00_0001, port: port)
    backend.authority = backend.address.description
    return backend
  }
  return pool
}

private func exampleRoute(
  _ name: String, _ target: RouteSettings.Target, _ edit: (inout RouteSettings) -> Void
) -> RouteSettings {
  var route = RouteSettings()
  route.name = name
  route.target = target
  edit(&route)
  return route
}
