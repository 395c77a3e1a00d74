import Primitives
import SettingsFile

extension Schema {
  static var listenerTLS: Section<ListenerTLSSettings> {
    Section(
      "tls", make: ListenerTLSSettings.init,
      fields: [
        .list(
          "hosts", \.hosts, tlsHost, required: true,
          sample: "[{certificates: [{certificate: portico.pem}]}]",
          "What clients may ask for by SNI, and what they are shown."),
        .optional(
          "default_host", \.defaultHost, .name("api.example.org"), sample: "api.example.org",
          "The host for clients that name none, or one that is not here. Default: the first."),
        .value("min_version", \.minimumVersion, .choice("a version of TLS"), "The oldest allowed."),
        .value(
          "ciphers", \.ciphers, openSSLList("ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"),
          "TLS 1.2, in OpenSSL's words; default: forward secret AEAD suites."),
        .value(
          "ciphersuites", \.ciphersuites, openSSLList("ciphersuites", "TLS_AES_128_GCM_SHA256"),
          "TLS 1.3, in OpenSSL's words; default: all of them."),
        .value(
          "groups", \.groups, openSSLList("groups", "X25519:P-256"),
          "Key agreement, the best first; default: X25519, P-256, P-384."),
        .value(
          "client_auth", \.clientAuth, clientAuth.kind.orNil("off"),
          "Who clients must be, for hosts that say nothing of their own."),
        .value("tickets", \.tickets, tickets.kind, "Resumed sessions, which save a handshake."),
        .value(
          "handshake_timeout", \.handshakeTimeout, .duration(someTime),
          "From the connection to the end of its handshake."),
      ])
  }

  private static var tlsHost: Section<TLSHost> {
    Section(
      "host", make: TLSHost.init,
      finish: { _, host, _ in
        if host.name.isEmpty {
          host.name = host.names.first ?? Self.title(host.certificates.first?.certificate ?? "")
        }
      },
      fields: [
        .value(
          "name", \.name, .name("api"), sample: "api",
          "Shown in logs and metrics. Default: the first of its names, or its certificate's file."),
        .values(
          "names", \.names, .hostPattern, whenEmpty: nil, sample: "[api.example.org]",
          "Exact, or *.example.org for one label. Default: the names in its certificates."),
        .list(
          "certificates", \.certificates, certificate, required: true,
          sample: "[{certificate: portico.pem, key: portico.key}]",
          "One for each kind of key: P-256, RSA."),
        .value(
          "client_auth", \.clientAuth, clientAuth.kind.orNil("default"),
          "Who clients of this host must be."),
      ])
  }

  /// The name of a file as a name of ours: without its folder, and printable.
  private static func title(_ path: String) -> String {
    let name = path.utf8.split(separator: 0x2f).last ?? []
    let kept = name.filter { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }.prefix(128)
    return String(decoding: Array(kept), as: UTF8.self)
  }

  private static var certificate: Section<CertificateSettings> {
    Section(
      "certificate", make: CertificateSettings.init,
      fields: [
        .value(
          "certificate", \.certificate, .file("portico.pem"), required: true,
          sample: "/etc/portico/tls/portico.pem",
          "PEM, with those behind it that lead to the root. Relative to this file, as all here."),
        .optional(
          "key", \.key, .file("portico.key"), sample: "/etc/portico/tls/portico.key",
          "PEM, without a passphrase. Default: in the certificate's file."),
        .optional(
          "ocsp", \.ocsp, .file("portico.ocsp"), sample: "/etc/portico/tls/portico.ocsp",
          "An OCSP response in DER, stapled to the certificate; renewed by another program."),
      ])
  }

  private static var clientAuth: Section<ClientAuthSettings> {
    Section(
      "client_auth", make: ClientAuthSettings.init,
      finish: { node, auth, reader in
        guard auth.mode != .off, auth.ca.isEmpty, case .map(let entries) = node.content,
          !entries.contains(where: { $0.key == "ca" })
        else { return }
        reader.complain(
          node.place, "'client_auth' without 'ca'; name the file of those who vouch for clients")
      },
      fields: [
        .value(
          "mode", \.mode, .choice("a mode"),
          "require: no handshake without; optional: verified where there is one."),
        .value(
          "ca", \.ca, .file("clients.pem"), sample: "/etc/portico/tls/clients.pem",
          "PEM, of those who may vouch for clients."),
        .values(
          "allowed_names", \.allowedNames, .name("billing.example.org"), whenEmpty: "everybody",
          "Names of which the certificate must have one: DNS, URI or common name."),
        .value(
          "header", \.header, .token("header field", ClientAuthSettings.defaultHeader),
          "Tells backends the verified name. What clients send under it is removed everywhere."),
      ])
  }

  private static var tickets: Section<TicketSettings> {
    Section(
      "tickets", make: TicketSettings.init,
      finish: { node, tickets, reader in
        if tickets.rotation + tickets.rotation < tickets.lifetime {
          reader.complain(
            node.place,
            "'rotation' (\(tickets.rotation)) is less than half of 'lifetime' "
              + "(\(tickets.lifetime)); two former keys are kept, so tickets would be lost; raise it"
          )
        }
      },
      fields: [
        .value("enabled", \.enabled, .flag, "false: every connection makes a whole handshake."),
        .value(
          "lifetime", \.lifetime, .duration(.seconds(60)...TimeAmount.seconds(7 * 86_400)),
          "How long a ticket is good."),
        .value(
          "rotation", \.rotation, .duration(.seconds(60)...TimeAmount.seconds(7 * 86_400)),
          "A new key seals from then on; the two before it still open."),
        .optional(
          "keys", \.keys, .file("tickets.key"), sample: "/etc/portico/tls/tickets.key",
          """
          Keys of 80 bytes each, the newest first, for several machines under one name. Default: \
          made at random.
          """),
      ])
  }

  static var poolTLS: Section<PoolTLSSettings> {
    Section(
      "tls", make: PoolTLSSettings.init,
      finish: { node, tls, reader in
        if tls.key != nil, tls.certificate == nil {
          reader.complain(node.place, "'key' without 'certificate'; name the file of both")
        }
        if !tls.verify, tls.ca != nil {
          reader.complain(
            node.place, "'ca' has no meaning with 'verify: false'; keep one of them")
        }
      },
      fields: [
        .optional(
          "ca", \.ca, .file("fleet.pem"), sample: "/etc/portico/tls/fleet.pem",
          "PEM, of those who may vouch for backends. Default: the system's."),
        .value(
          "verify", \.verify, .flag, "false: whoever answers is believed. For a bench, no more."),
        .optional(
          "server_name", \.serverName, .serverName, sample: "engines.internal",
          "Asked for by SNI and looked for in the certificate. Default: each backend's host."),
        .optional(
          "certificate", \.certificate, .file("portico.pem"),
          sample: "/etc/portico/tls/portico.pem", "PEM, shown to backends that ask."),
        .optional(
          "key", \.key, .file("portico.key"), sample: "/etc/portico/tls/portico.key",
          "PEM, without a passphrase. Default: in the certificate's file."),
        .value("min_version", \.minimumVersion, .choice("a version of TLS"), "The oldest allowed."),
      ])
  }

  /// What OpenSSL will judge when the file is loaded; here only that it is one word.
  private static func openSSLList(_ noun: String, _ sample: String) -> Kind<String> {
    Kind.scalar(
      "a list of \(noun) such as \(sample), or default",
      json: scalarJSON([("type", .text("string"))]),
      show: { $0.isEmpty ? .word("default") : .text($0) },
      parse: { text in
        if text == "default" { return .value("") }
        let isOneWord = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
        return isOneWord && (1...1024).contains(text.utf8.count) ? .value(text) : .unlike
      })
  }
}
