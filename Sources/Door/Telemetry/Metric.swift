/// One metric family as Prometheus knows it.
package struct Metric: Sendable {
  package enum Kind: Sendable {
    case counter
    case gauge
    /// Shown from 100 µs to 600 s; shorter amounts are in the first bucket.
    case requestTimes
    /// Shown from 1 µs to 1 s; longer amounts are only in `+Inf`.
    case ownTimes

    package var label: StaticString {
      switch self {
      case .counter: "counter"
      case .gauge: "gauge"
      case .requestTimes, .ownTimes: "histogram"
      }
    }
  }

  package let name: StaticString
  package let kind: Kind
  package let help: StaticString

  private init(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
    self.name = name
    self.kind = kind
    self.help = help
  }

  // Requests.
  static let requests = Metric(
    "portico_requests_total", .counter,
    "Requests that have ended, by the hundreds of the status that the client was sent.")
  static let duration = Metric(
    "portico_request_duration_seconds", .requestTimes,
    "From a complete request head to the end of its answer. Upgraded connections are left out.")
  static let firstByte = Metric(
    "portico_time_to_first_byte_seconds", .requestTimes,
    "From the request head on the backend's connection to the first byte of its answer.")
  static let queue = Metric(
    "portico_queue_seconds", .requestTimes,
    "From a complete request head to the pick of a backend.")
  static let connect = Metric(
    "portico_connect_seconds", .requestTimes,
    "Making a connection to a backend. Kept connections are left out.")
  static let added = Metric(
    "portico_added_latency_seconds", .ownTimes,
    "What Portico adds: reading to writing, of the request head and of the first byte back.")
  static let terminations = Metric(
    "portico_terminations_total", .counter, "Requests by why they ended and whose doing it was.")
  static let rejections = Metric(
    "portico_rejections_total", .counter, "Requests turned away by the parser, by rule.")
  static let limits = Metric(
    "portico_limit_reached_total", .counter, "How often a configured limit was reached.")
  static let keyRequests = Metric(
    "portico_key_requests_total", .counter,
    "Requests that have ended, by the API key that they came with.")
  static let keyTokens = Metric(
    "portico_key_tokens_total", .counter,
    "Tokens by API key: as the engine counted them, or estimated where it did not say.")
  static let streams = Metric("portico_open_streams", .gauge, "Requests in progress.")
  // Backends.
  static let inFlight = Metric(
    "portico_backend_in_flight", .gauge, "Requests in flight to the backend over all loops.")
  static let ewma = Metric(
    "portico_backend_ewma_seconds", .gauge, "The moving average of latency that picks are based on."
  )
  static let score = Metric(
    "portico_backend_score", .gauge, "What the policy compares; the lowest is picked.")
  static let state = Metric(
    "portico_backend_state", .gauge, "1 for the state that the backend is in, 0 for the others.")
  static let breaker = Metric(
    "portico_breaker_state", .gauge, "1 for the state that the breaker is in, 0 for the others.")
  static let breakerTransitions = Metric(
    "portico_breaker_transitions_total", .counter, "How often a breaker entered a state.")
  static let retries = Metric(
    "portico_retries_total", .counter, "Attempts that were followed by another, by why they failed."
  )
  static let retryBudget = Metric(
    "portico_retry_budget_exhausted_total", .counter,
    "Attempts that were not followed by another because the retry budget was used up.")
  static let probes = Metric(
    "portico_health_probes_total", .counter, "Health probes by result.")
  static let attempts = Metric(
    "portico_upstream_attempts_total", .counter,
    "Last attempts of requests, by whether their connection was new or kept.")
  static let upstream = Metric(
    "portico_upstream_connections", .gauge, "Connections to backends by what they are doing.")
  // Connections and loops.
  static let bytes = Metric(
    "portico_bytes_total", .counter, "Bytes read from and written to sockets, framing included.")
  static let connections = Metric(
    "portico_connections_total", .counter, "Client connections accepted.")
  static let openConnections = Metric(
    "portico_open_connections", .gauge, "Client connections that are open.")
  static let handshakes = Metric(
    "portico_tls_handshakes_total", .counter,
    "TLS handshakes with clients that were finished, by version and whether a session was resumed.")
  static let handshakeFailures = Metric(
    "portico_tls_handshake_failures_total", .counter,
    "TLS handshakes with clients that failed, by reason.")
  static let upstreamHandshakes = Metric(
    "portico_upstream_tls_handshakes_total", .counter,
    "TLS handshakes with backends that were finished, by version and whether a session was resumed."
  )
  static let upstreamHandshakeFailures = Metric(
    "portico_upstream_tls_handshake_failures_total", .counter,
    "TLS handshakes with backends that failed, by reason.")
  static let certificateEnd = Metric(
    "portico_tls_certificate_not_after_timestamp_seconds", .gauge,
    "The end of a certificate's validity, in seconds since 1970.")
  static let sessions = Metric(
    "portico_http2_connections", .gauge, "HTTP/2 connections that are open, by side.")
  static let sessionsEnded = Metric(
    "portico_http2_connections_ended_total", .counter,
    "HTTP/2 connections that have ended, by side and reason.")
  static let acceptPaused = Metric(
    "portico_accept_paused_total", .counter,
    "How often accepting stopped for lack of descriptors or at a limit of connections.")
  static let glitches = Metric(
    "portico_glitches_total", .counter, "Odd but legal things that peers did.")
  static let turns = Metric(
    "portico_loop_turn_seconds", .ownTimes, "How long the turns of an event loop took.")
  // The process.
  static let reloads = Metric(
    "portico_config_reloads_total", .counter, "Configuration reloads by result.")
  static let lastReload = Metric(
    "portico_config_last_reload_success", .gauge,
    "1 when the running configuration is the one on disk, 0 when the last edit was refused.")
  static let lastReloadTime = Metric(
    "portico_config_last_reload_timestamp_seconds", .gauge,
    "When the running configuration was put to use, in seconds since 1970.")
  static let accessLogDropped = Metric(
    "portico_access_log_dropped_lines_total", .counter,
    "Access log lines that were not written because the disk was slow, full or broken.")
  static let draining = Metric("portico_draining", .gauge, "1 while Portico drains before its end.")
  static let build = Metric("portico_build_info", .gauge, "Always 1; the version is in the label.")
  static let memory = Metric(
    "process_resident_memory_bytes", .gauge, "Resident memory size in bytes.")
  static let descriptors = Metric("process_open_fds", .gauge, "Number of open file descriptors.")
  static let descriptorLimit = Metric(
    "process_max_fds", .gauge, "Maximum number of open file descriptors.")
  static let cpu = Metric(
    "process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds.")
  static let startTime = Metric(
    "process_start_time_seconds", .gauge, "Start time of the process, in seconds since 1970.")

  /// Every family, in the order of the text.
  package static let all = [
    requests, duration, firstByte, queue, connect, added, terminations, rejections, limits,
    keyRequests, keyTokens, streams,
    inFlight, ewma, score, state, breaker, breakerTransitions, retries, retryBudget, probes,
    attempts, upstream, bytes, connections, openConnections, handshakes,
    handshakeFailures, upstreamHandshakes, upstreamHandshakeFailures, sessions,
    sessionsEnded, acceptPaused, glitches,
    certificateEnd, turns, reloads,
    lastReload, lastReloadTime, accessLogDropped, draining, build, memory, descriptors,
    descriptorLimit, cpu, startTime,
  ]
}
