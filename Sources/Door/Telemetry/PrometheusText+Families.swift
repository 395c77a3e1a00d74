import Primitives

// What the text says, family by family, in the order of `Metric.all`.
extension PrometheusText {
  mutating func putRequests() {
    header(.requests)
    for cell in counted.requests.cells.sorted(by: { $0.key < $1.key }) {
      guard let labels = labels(of: cell.key) else { continue }
      for codeClass in CodeClass.allCases {
        let count = cell.counts[Int(codeClass.rawValue)]
        // A series that begins with its first error would hide that error from `rate`.
        let always = codeClass != .none && codeClass != .informational
        if count == 0 && !always { continue }
        line(.requests, labels, "code_class", codeClass.label, count: count)
      }
    }
    header(.duration)
    for (index, labels) in routes.enumerated() {
      guard let labels else { continue }
      histogram(.duration, labels, counted.routes.at(index)?.duration ?? Histogram())
    }
    header(.firstByte)
    for (index, labels) in members.enumerated() {
      guard let labels else { continue }
      histogram(.firstByte, labels, counted.members.at(index)?.firstByte ?? Histogram())
    }
    header(.queue)
    for (index, labels) in pools.enumerated() {
      guard let labels else { continue }
      histogram(.queue, labels, counted.pools.at(index)?.queue ?? Histogram())
    }
    header(.connect)
    for (index, labels) in pools.enumerated() {
      guard let labels else { continue }
      histogram(.connect, labels, counted.pools.at(index)?.connect ?? Histogram())
    }
    header(.added)
    histogram(.added, [], counted.added)
    header(.terminations)
    for reason in TerminationReason.allCases {
      line(
        .terminations, Self.label("source", reason.source.label.description), "reason",
        reason.label, count: counted.terminations[Int(reason.rawValue)])
    }
    header(.rejections)
    for (index, name) in names.rejections.enumerated() where index < counted.rejections.count {
      line(.rejections, Self.label("reason", name), count: counted.rejections[index])
    }
    header(.limits)
    for limit in LimitName.allCases {
      line(.limits, [], "limit", limit.label, count: counted.limits[Int(limit.rawValue)])
    }
    header(.keyRequests)
    for (index, labels) in keys.enumerated() {
      guard let labels, let key = counted.keys.at(index) else { continue }
      for codeClass in CodeClass.allCases where key.requests[Int(codeClass.rawValue)] > 0 {
        line(
          .keyRequests, labels, "code_class", codeClass.label,
          count: key.requests[Int(codeClass.rawValue)])
      }
    }
    header(.keyTokens)
    for (index, labels) in keys.enumerated() {
      guard let labels, let key = counted.keys.at(index) else { continue }
      line(.keyTokens, labels, "kind", "prompt", count: key.promptTokens)
      line(.keyTokens, labels, "kind", "completion", count: key.completionTokens)
    }
    header(.streams)
    line(.streams, number: Double(counted.openStreams))
  }

  /// nil when one of the three is gone. What a request never reached is an empty label.
  private func labels(of key: RequestCells.Key) -> [UInt8]? {
    var labels: [UInt8]
    if key.route < 0 {
      labels = Self.label("route", "")
    } else if let route = routes.at(Int(key.route)) ?? nil {
      labels = route
    } else {
      return nil
    }
    labels.append(UInt8(ascii: ","))
    if key.member >= 0 {
      // A member's labels begin with its pool.
      guard let member = members.at(Int(key.member)) ?? nil else { return nil }
      return labels + member
    }
    if key.pool < 0 {
      labels += Self.label("pool", "")
    } else if let pool = pools.at(Int(key.pool)) ?? nil {
      labels += pool
    } else {
      return nil
    }
    labels.append(UInt8(ascii: ","))
    return labels + Self.label("backend", "")
  }

  mutating func putReadings(_ readings: [MemberReading]) {
    let known = readings.compactMap { reading in
      (members.at(reading.member) ?? nil).map { (reading: reading, labels: $0) }
    }
    header(.inFlight)
    for (reading, labels) in known {
      line(.inFlight, labels, number: Double(reading.inFlight))
    }
    header(.ewma)
    for (reading, labels) in known {
      if let ewma = reading.ewma { line(.ewma, labels, number: ewma.seconds) }
    }
    header(.score)
    for (reading, labels) in known {
      if let score = reading.score { line(.score, labels, number: score) }
    }
    header(.state)
    for (reading, labels) in known {
      for state in MemberReading.State.allCases {
        line(.state, labels, "state", state.label, count: state == reading.state ? 1 : 0)
      }
    }
    header(.breaker)
    for (reading, labels) in known {
      for state in MemberReading.Breaker.allCases {
        line(.breaker, labels, "state", state.label, count: state == reading.breaker ? 1 : 0)
      }
    }
    header(.breakerTransitions)
    for (reading, labels) in known {
      let entered = counted.members.at(reading.member)?.breakerEntered
      for state in MemberReading.Breaker.allCases {
        line(
          .breakerTransitions, labels, "to", state.label,
          count: entered?[Int(state.rawValue)] ?? 0)
      }
    }
  }

  mutating func putPools(_ readings: [MemberReading]) {
    header(.retries)
    for (index, labels) in pools.enumerated() {
      guard let labels, let pool = counted.pools.at(index) else { continue }
      for reason in TerminationReason.allCases where pool.retries[Int(reason.rawValue)] > 0 {
        line(
          .retries, labels, "reason", reason.label, count: pool.retries[Int(reason.rawValue)])
      }
    }
    header(.retryBudget)
    for (index, labels) in pools.enumerated() {
      guard let labels else { continue }
      line(.retryBudget, labels, count: counted.pools.at(index)?.retryBudgetExhausted ?? 0)
    }
    header(.probes)
    for reading in readings {
      guard let labels = members.at(reading.member) ?? nil else { continue }
      line(.probes, labels, "result", "passed", count: reading.probesPassed)
      line(.probes, labels, "result", "failed", count: reading.probesFailed)
    }
    header(.attempts)
    for (index, labels) in pools.enumerated() {
      guard let labels else { continue }
      let pool = counted.pools.at(index)
      line(.attempts, labels, "connection", "new", count: pool?.attemptsOnNew ?? 0)
      line(.attempts, labels, "connection", "kept", count: pool?.attemptsOnReused ?? 0)
    }
    header(.upstream)
    for state in UpstreamState.allCases {
      line(
        .upstream, [], "state", state.label,
        number: Double(counted.upstream[Int(state.rawValue)]))
    }
  }

  mutating func putConnections() {
    header(.bytes)
    for way in Direction.allCases {
      line(.bytes, [], "direction", way.label, count: counted.bytes[Int(way.rawValue)])
    }
    header(.connections)
    for (index, labels) in listeners.enumerated() {
      guard let labels else { continue }
      line(.connections, labels, count: counted.listeners.at(index)?.accepted ?? 0)
    }
    header(.openConnections)
    for (index, labels) in listeners.enumerated() {
      guard let labels else { continue }
      line(.openConnections, labels, number: Double(counted.listeners.at(index)?.open ?? 0))
    }
    putHandshakes()
    header(.acceptPaused)
    line(.acceptPaused, count: counted.acceptPaused)
    header(.sessions)
    for (side, name) in SessionCells.sides.enumerated() {
      line(.sessions, [], "side", name, count: UInt64(clamping: counted.sessions[side].open))
    }
    header(.sessionsEnded)
    for (side, name) in SessionCells.sides.enumerated() {
      for reason in SessionEnd.allCases {
        line(
          .sessionsEnded, Self.label("side", name.description), "reason", reason.label,
          count: counted.sessions[side].ended[Int(reason.rawValue)])
      }
    }
    header(.glitches)
    line(.glitches, count: counted.glitches)
  }

  /// Only of listeners and pools that have met TLS: most have not.
  private mutating func putHandshakes() {
    header(.handshakes)
    for (index, labels) in listeners.enumerated() {
      putDone(.handshakes, labels, counted.listeners.at(index)?.handshakes)
    }
    header(.handshakeFailures)
    for (index, labels) in listeners.enumerated() {
      putFailed(.handshakeFailures, labels, counted.listeners.at(index)?.handshakes)
    }
    header(.upstreamHandshakes)
    for (index, labels) in pools.enumerated() {
      putDone(.upstreamHandshakes, labels, counted.pools.at(index)?.handshakes)
    }
    header(.upstreamHandshakeFailures)
    for (index, labels) in pools.enumerated() {
      putFailed(.upstreamHandshakeFailures, labels, counted.pools.at(index)?.handshakes)
    }
  }

  private mutating func putDone(_ metric: Metric, _ labels: [UInt8]?, _ counts: HandshakeCounts?) {
    guard let labels, let counts, counts.isUsed else { return }
    for version in TLSVersionSeen.allCases {
      for isResumed in [false, true] {
        let resumed = Self.label("resumed", isResumed ? "true" : "false")
        line(
          metric, labels + [UInt8(ascii: ",")] + resumed, "version", version.label,
          count: counts.done[Int(version.rawValue) + (isResumed ? 2 : 0)])
      }
    }
  }

  private mutating func putFailed(
    _ metric: Metric, _ labels: [UInt8]?, _ counts: HandshakeCounts?
  ) {
    guard let labels, let counts, counts.isUsed else { return }
    for failure in HandshakeFailure.allCases {
      line(
        metric, labels, "reason", failure.label, count: counts.failed[Int(failure.rawValue)])
    }
  }

  mutating func putCertificates(_ certificates: [CertificateReading]) {
    header(.certificateEnd)
    for certificate in certificates {
      let labels =
        Self.label("listener", certificate.listener) + [UInt8(ascii: ",")]
        + Self.label("host", certificate.host) + [UInt8(ascii: ",")]
        + Self.label("certificate", certificate.certificate)
      line(.certificateEnd, labels, number: certificate.notAfterSeconds)
    }
  }

  mutating func putTurns(_ snapshots: [MetricsSnapshot]) {
    header(.turns)
    for (index, snapshot) in snapshots.enumerated() {
      histogram(.turns, Self.label("loop", "\(index)"), snapshot.turns)
    }
  }

  mutating func putProcess(_ control: ControlReading, _ process: ProcessFacts) {
    header(.reloads)
    line(.reloads, [], "result", "applied", count: control.reloadsApplied)
    line(.reloads, [], "result", "rejected", count: control.reloadsRejected)
    header(.lastReload)
    line(.lastReload, count: control.lastReloadSucceeded ? 1 : 0)
    header(.lastReloadTime)
    line(.lastReloadTime, number: control.lastReloadSeconds)
    header(.accessLogDropped)
    line(.accessLogDropped, count: control.accessLogDroppedLines)
    header(.draining)
    line(.draining, count: control.isDraining ? 1 : 0)
    header(.build)
    line(.build, Self.label("version", control.version), count: 1)
    header(.memory)
    if let bytes = process.residentBytes { line(.memory, count: bytes) }
    header(.descriptors)
    if let count = process.openDescriptors { line(.descriptors, number: Double(count)) }
    header(.descriptorLimit)
    if let limit = process.descriptorLimit { line(.descriptorLimit, number: Double(limit)) }
    header(.cpu)
    if let seconds = process.cpuSeconds { line(.cpu, number: seconds) }
    header(.startTime)
    line(.startTime, number: process.startSeconds)
  }
}

extension Array {
  fileprivate func at(_ index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
