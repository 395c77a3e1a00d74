import Generation

/// The ORCA report of a worker's load, for balancers that ask for it with a request.
enum LoadReport {
  enum Format: Equatable { case text, json }

  static let field = "endpoint-load-metrics"

  /// nil for none, or one that is not spoken here (BIN).
  static func format(_ asked: String?) -> Format? {
    switch asked?.lowercased() {
    case "text": .text
    case "json": .json
    default: nil
    }
  }

  static func value(_ format: Format, _ report: EngineReport, _ facts: EngineFacts) -> String {
    let use = facts.blocks > 0 ? report.blocksUsed * 1_000 / facts.blocks : 0
    let share = "\(use / 1_000).\(String(1_000 + use % 1_000).dropFirst())"
    let named = [
      ("kv_cache_usage_perc", share), ("num_requests_running", "\(report.running)"),
      ("num_requests_waiting", "\(report.waiting)"),
    ]
    switch format {
    case .text:
      return "TEXT " + named.map { "named_metrics.\($0.0)=\($0.1)" }.joined(separator: ", ")
    case .json:
      let members = named.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
      return "JSON {\"named_metrics\":{\(members)}}"
    }
  }
}
