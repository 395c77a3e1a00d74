/// Why a request, or one attempt of it, came to its end.
///
/// The label stands in the access log and in `portico_terminations_total`; the text is what a person
/// reads who asks what the label means. Labels are never renamed: people alert on them.
@frozen
package enum TerminationReason: UInt8, Sendable, CaseIterable {
  /// Whose doing it was: the first question of whoever reads the log.
  package enum Source: UInt8, Sendable, CaseIterable {
    case nobody
    case client
    case upstream
    case portico

    package var label: StaticString {
      switch self {
      case .nobody: "none"
      case .client: "client"
      case .upstream: "upstream"
      case .portico: "portico"
      }
    }
  }

  // As it should be.
  case completed
  case answeredLocally
  case tunnelClosed
  // The client.
  case clientClosed
  case clientTimeoutHead
  case clientTimeoutBody
  case clientTooSlow
  case clientTruncated
  case rejectedSyntax
  case rejectedLimit
  case writeFailed
  case clientReadTimeout
  case clientHandshakeFailed
  case clientTimeoutHandshake
  case plainHTTP
  case misdirected
  // Our own rules.
  case refusedByRule
  case noRoute
  case credentialsMissing
  case credentialsInvalid
  case addressDenied
  case routeNotAllowed
  case modelNotAllowed
  case modelMissing
  case adminPathBlocked
  case originNotAllowed
  case keyConcurrency
  case keyRequestRate
  case keyTokenRate
  case routeRequestRate
  case clientRequestRate
  case noMemberConfigured
  case noMemberHealthy
  case noMemberBreaker
  case noMemberLimit
  case noMemberDraining
  // On the way to a backend.
  case connectRefused
  case connectTimeout
  case connectFailed
  case connectNoResources
  case upstreamHandshakeFailed
  case upstreamCertificate
  // The backend.
  case upstreamReset
  case upstreamClosedEarly
  case upstreamTruncated
  case upstreamMalformed
  case upstreamLimit
  case upstreamStatus
  case firstByteTimeout
  case responseHeadTimeout
  case betweenChunksTimeout
  case upstreamWriteTimeout
  // Time and the end of the process.
  case totalTimeout
  case callDeadline
  case tunnelIdleTimeout
  case drainDeadline
  case stopped
  case internalError

  /// As it stands in logs and metrics.
  package var label: StaticString { story.label }
  /// One sentence for a person.
  package var text: StaticString { story.text }
  package var source: Source { story.source }

  private var story: (label: StaticString, source: Source, text: StaticString) {
    switch self {
    case .completed:
      ("completed", .nobody, "The answer was relayed to its end.")
    case .answeredLocally:
      ("answered_locally", .nobody, "Portico answered itself, as for a listener's health path.")
    case .tunnelClosed:
      ("tunnel_closed", .nobody, "The upgraded connection was closed by one of its ends.")
    case .clientClosed:
      ("client_closed", .client, "The client left before its answer was complete.")
    case .clientTimeoutHead:
      (
        "client_timeout_head", .client,
        "The client did not finish its request head within the listener's request_head timeout."
      )
    case .clientTimeoutBody:
      (
        "client_timeout_body", .client,
        "The client stopped sending its request body for longer than the listener's body_grace."
      )
    case .clientTooSlow:
      (
        "client_too_slow", .client,
        "The client sent its request body below the listener's body_rate."
      )
    case .clientTruncated:
      (
        "client_truncated", .client,
        "The client closed its side before the request body that it had announced was complete."
      )
    case .rejectedSyntax:
      (
        "rejected_syntax", .client,
        "The request broke HTTP; portico_rejections_total says which rule."
      )
    case .rejectedLimit:
      (
        "rejected_limit", .client,
        "The request was larger than a limit of the listener; portico_limit_reached_total says which."
      )
    case .writeFailed:
      ("write_failed", .client, "Writing the answer failed: the client had reset its connection.")
    case .clientReadTimeout:
      (
        "client_read_timeout", .client,
        "The client read nothing of its waiting answer for longer than the limit."
      )
    case .clientHandshakeFailed:
      (
        "client_handshake_failed", .client,
        "The TLS handshake failed; portico_tls_handshake_failures_total says why."
      )
    case .clientTimeoutHandshake:
      (
        "client_timeout_handshake", .client,
        "The client did not finish its TLS handshake within the listener's handshake_timeout."
      )
    case .plainHTTP:
      (
        "plain_http", .client,
        "This port speaks TLS and the request came without; use https:// instead of http://."
      )
    case .misdirected:
      (
        "misdirected", .client,
        "The request is for a host that asks other things of its clients than the one named in the TLS handshake; connect to that host."
      )
    case .refusedByRule:
      ("refused_by_rule", .portico, "A route refuses such requests.")
    case .noRoute:
      ("no_route", .portico, "No route matches the request's host, path and method.")
    case .credentialsMissing:
      ("credentials_missing", .client, "The route asks for credentials and there were none.")
    case .credentialsInvalid:
      (
        "credentials_invalid", .client,
        "The API key is not known, or the token was refused for its signature or its claims."
      )
    case .addressDenied:
      (
        "address_denied", .client,
        "The client's address is on a deny list, or an allow list does not have it."
      )
    case .routeNotAllowed:
      ("route_not_allowed", .client, "The API key has a list of routes, and not this one.")
    case .modelNotAllowed:
      (
        "model_not_allowed", .client,
        "The API key or the route has a list of models, and not the one that was asked for."
      )
    case .modelMissing:
      (
        "model_missing", .client,
        "Only some models are allowed, and none was found in the body."
      )
    case .adminPathBlocked:
      (
        "admin_path_blocked", .client,
        "The path administers an engine, and the route's admin_paths does not let it through."
      )
    case .originNotAllowed:
      (
        "origin_not_allowed", .client,
        "A page of an origin that the route's cors does not name asked whether it may use it."
      )
    case .keyConcurrency:
      (
        "key_concurrency", .client,
        "The API key had as many requests in progress as its concurrency allows."
      )
    case .keyRequestRate:
      ("key_request_rate", .client, "The caller was over its rate of requests.")
    case .keyTokenRate:
      ("key_token_rate", .client, "The caller was over its rate of tokens.")
    case .routeRequestRate:
      ("route_request_rate", .client, "All clients of the route together were over its rate.")
    case .clientRequestRate:
      (
        "client_request_rate", .client,
        "The client's address was over the requests_per_client of the listener or the route."
      )
    case .noMemberConfigured:
      ("no_member_configured", .portico, "The pool has no backend at all.")
    case .noMemberHealthy:
      ("no_member_healthy", .upstream, "Every backend of the pool fails its health probes.")
    case .noMemberBreaker:
      ("no_member_breaker", .upstream, "Every usable backend of the pool has its breaker open.")
    case .noMemberLimit:
      (
        "no_member_limit", .portico,
        "Every usable backend of the pool is at its limit of requests in flight."
      )
    case .noMemberDraining:
      ("no_member_draining", .portico, "Every backend of the pool that could serve is draining.")
    case .connectRefused:
      ("connect_refused", .upstream, "The backend's address refused the connection.")
    case .connectTimeout:
      (
        "connect_timeout", .upstream,
        "The backend did not accept, or did not finish its TLS handshake, within the connect timeout."
      )
    case .connectFailed:
      (
        "connect_failed", .upstream,
        "Connecting failed: host or network unreachable, or no such Unix socket."
      )
    case .connectNoResources:
      (
        "connect_no_resources", .portico,
        "Portico had no descriptor or local port left for a connection to the backend."
      )
    case .upstreamHandshakeFailed:
      (
        "upstream_handshake_failed", .upstream,
        "The TLS handshake with the backend failed; portico_upstream_tls_handshake_failures_total says why."
      )
    case .upstreamCertificate:
      (
        "upstream_certificate", .upstream,
        "The backend's certificate could not be verified, so nothing was sent to it."
      )
    case .upstreamReset:
      ("upstream_reset", .upstream, "The backend reset the connection.")
    case .upstreamClosedEarly:
      (
        "upstream_closed_early", .upstream,
        "The backend closed the connection before it answered."
      )
    case .upstreamTruncated:
      (
        "upstream_truncated", .upstream,
        "The backend closed the connection within an answer, before its announced end."
      )
    case .upstreamMalformed:
      ("upstream_malformed", .upstream, "The backend's answer broke HTTP and was not relayed.")
    case .upstreamLimit:
      ("upstream_limit", .upstream, "The head of the backend's answer was larger than the limit.")
    case .upstreamStatus:
      (
        "upstream_status", .upstream,
        "The backend answered with a status for which the pool tries elsewhere."
      )
    case .firstByteTimeout:
      (
        "first_byte_timeout", .upstream,
        "The backend sent no byte of an answer within the first_byte timeout."
      )
    case .responseHeadTimeout:
      (
        "response_head_timeout", .upstream,
        "The backend began its answer's head and did not finish it within the response_head timeout."
      )
    case .betweenChunksTimeout:
      (
        "between_chunks_timeout", .upstream,
        "The backend fell silent within an answer for longer than the between_chunks timeout."
      )
    case .upstreamWriteTimeout:
      (
        "upstream_write_timeout", .upstream,
        "The backend stopped reading the request for longer than the limit."
      )
    case .totalTimeout:
      ("total_timeout", .portico, "The request took longer than the pool's total timeout.")
    case .callDeadline:
      ("call_deadline", .client, "The caller's own deadline, grpc-timeout, has passed.")
    case .tunnelIdleTimeout:
      (
        "tunnel_idle_timeout", .portico,
        "The upgraded connection carried no byte for longer than the tunnel_idle timeout."
      )
    case .drainDeadline:
      ("drain_deadline", .portico, "Portico was draining and the request outlived the deadline.")
    case .stopped:
      ("stopped", .portico, "Portico was told twice to stop and cut what was still open.")
    case .internalError:
      ("internal_error", .portico, "A belief of Portico's broke; please report it with the log.")
    }
  }
}
