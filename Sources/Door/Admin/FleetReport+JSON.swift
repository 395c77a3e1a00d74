import Balancing
import JSON
import Primitives
import Telemetry

/// The text of `/fleet`: what the dashboard, `portico status` and scripts read.
///
/// Counters only rise, so whoever asks twice can make rates: `at_ms` is the monotonic clock, and
/// `ttfb_counts` are the times to first byte by bucket, whose upper bounds stand in `bounds_ms`
/// (the last bucket has none).
extension FleetReport {
  func json(_ readiness: Readiness) -> [UInt8] {
    let counts = RequestCounts(loops)
    let sum = MetricsSnapshot.merged(loops)
    var text = JSONText(capacity: 2_048 + pools.reduce(0) { $0 + $1.members.count } * 768)
    text.object { text in
      text.put("version", control.version)
      text.put("at_ms", Int(now.nanoseconds / 1_000_000))
      text.put("uptime_s", uptime.seconds, places: 1)
      text.put("ready", readiness.isReady)
      text.put("draining", readiness.isDraining)
      text.put("reload_error", readiness.lastReloadError)
      text.put("loops", loops.count)
      text.put("open_streams", Int(sum.openStreams))
      text.put("open_connections", Int(sum.listeners.reduce(0) { $0 + $1.open }))
      text.put("resident_bytes", process.residentBytes.map { Int(clamping: $0) })
      text.array("bounds_ms") { text in
        for index in 0..<Histogram.boundCount {
          text.value(Double(Histogram.bounds[index]) / 1e6, places: 4)
        }
      }
      text.array("pools") { text in
        for pool in pools {
          text.object { text in
            text.put("name", pool.name)
            text.put("policy", pool.policy)
            text.array("members") { text in
              for member in pool.members {
                let times =
                  sum.members.indices.contains(member.id)
                  ? sum.members[member.id].firstByte : Histogram()
                MemberSummary(member, counts, at: now).write(to: &text, firstByte: times)
              }
            }
          }
        }
      }
    }
    return text.bytes + [0x0a]
  }
}

extension MemberSummary {
  fileprivate func write(to text: inout JSONText, firstByte: Histogram) {
    text.object { text in
      text.put("name", member.name)
      text.put("address", member.address)
      text.put("weight", member.weight)
      text.put("state", state.rawValue)
      text.put("health", health)
      text.put("draining", member.isDraining)
      text.put("breaker", breaker.label)
      text.put("breaker_loops", breakerLoops)
      text.put("breaker_open_ms", remaining(until: openUntil), places: 0)
      text.put("cooling_ms", remaining(until: member.coolingUntil), places: 0)
      text.put("slow_start", ramp, places: 3)
      text.put("ewma_ms", ewma?.milliseconds, places: 3)
      text.put("score", score, places: 4)
      text.put("in_flight", member.inFlight)
      text.put("requests", requests.requests)
      text.put("errors", requests.errors)
      text.put("last_error", lastFailure?.text)
      text.put("last_error_age_s", lastFailure.map { max(.zero, now - $0.at).seconds }, places: 1)
      text.object("ttfb_ms") { text in
        text.put("p50", firstByte.quantile(0.5)?.milliseconds, places: 3)
        text.put("p99", firstByte.quantile(0.99)?.milliseconds, places: 3)
      }
      text.array("ttfb_counts") { text in
        for count in 0..<28 { text.value(Int(clamping: firstByte.counts[count])) }
      }
    }
  }

  private var health: StaticString {
    switch member.health {
    case .unknown: "unknown"
    case .good: "healthy"
    case .bad: "unhealthy"
    }
  }

  /// nil when the time has come.
  private func remaining(until end: Instant) -> Double? {
    end > now ? (end - now).milliseconds.rounded(.up) : nil
  }
}
