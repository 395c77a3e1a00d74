import CCurl
import Configuration
import Primitives

/// TLS of a probe: what requests to the pool do too.
extension Transfer {
  /// Files of authorities are kept in memory this long. Seconds. libcurl's own day would miss that
  /// they were replaced.
  private static let authoritiesSeconds = 60

  /// A name in the URL is asked for by SNI and looked for in the certificate; this says where it
  /// leads.
  static func way(to target: Target) -> UnsafeMutablePointer<curl_slist>? {
    guard target.tls != nil else { return nil }
    switch target.address {
    case .ipv4, .ipv6: return curl_slist_append(nil, "::\(target.address)")
    case .unix: return nil
    }
  }

  static func version(_ target: Target) -> Int {
    switch (target.wireProtocol, target.tls == nil) {
    case (.h2, true): Int(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
    case (.h2, false), (.auto, false): Int(CURL_HTTP_VERSION_2TLS)
    case (.h1, _), (.auto, true): Int(CURL_HTTP_VERSION_1_1)
    }
  }

  func prepare(_ tls: PoolTLSSettings, _ target: Target) {
    let isIPv6 = target.serverName.contains(":")
    let host = isIPv6 ? "[\(target.serverName)]" : target.serverName
    set(CURLOPT_URL, "https://\(host):\(target.address.port ?? 443)/")
    if let connectTo { set(CURLOPT_CONNECT_TO, UnsafeMutableRawPointer(connectTo)) }
    set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1 : 0)
    set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2 : 0)
    if let ca = tls.ca {
      set(CURLOPT_CAINFO, ca)
      set(CURLOPT_CA_CACHE_TIMEOUT, Self.authoritiesSeconds)
    }
    if let certificate = tls.certificate, let key = tls.keyFile {
      set(CURLOPT_SSLCERT, certificate)
      set(CURLOPT_SSLKEY, key)
    }
    switch tls.minimumVersion {
    case .tls12: set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    case .tls13: set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_3))
    }
  }
}
