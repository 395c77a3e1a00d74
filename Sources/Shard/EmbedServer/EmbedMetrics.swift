import Primitives

/// What an embedding worker counts, and its text for Prometheus.
struct EmbedMetrics {
  enum Outcome: String, CaseIterable { case answered, left, failed }

  /// Requests.
  var outcomes: [Outcome: UInt64] = [:]
  var refusals: [EmbedError.Reason: UInt64] = [:]
  /// Computed, whether or not somebody still wanted them.
  var texts: UInt64 = 0
  var tokens: UInt64 = 0
  var batches: UInt64 = 0
  var batchTime = Histogram()
  var duration = Histogram()

  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  func text(_ server: EmbedServer) -> String {
    var out = Page(model: server.model.name)
    var weightBytes = 0
    if case .ready(let bytes) = server.state { weightBytes = bytes }
    out.gauge(
      "portico_embed_ready", "1 while /ready says yes.", server.notReady() == nil ? 1 : 0)
    out.gauge("portico_embed_requests_in_flight", "Requests without answer.", server.jobs)
    out.gauge("portico_embed_texts_in_flight", "Their texts.", server.texts)
    out.gauge("portico_embed_texts_running", "Texts of the batch.", server.running.count)
    out.gauge(
      "portico_embed_batch_tokens", "Tokens of the batch that runs, or ran last.",
      server.batchTokens)
    // The names that routers and autoscalers look for.
    out.gauge(
      "vllm:num_requests_running", "Requests of which a text was computed, or is.",
      server.jobs - server.untouchedJobs)
    out.gauge("vllm:num_requests_waiting", "The others.", server.untouchedJobs)
    out.gauge("portico_embed_weight_bytes", "Bytes of the weights.", weightBytes)
    out.counter("portico_embed_batches_total", "Batches computed.", batches)
    out.counter("portico_embed_texts_total", "Texts computed.", texts)
    out.counter("portico_embed_tokens_total", "Tokens computed.", tokens)
    out.family("portico_embed_requests_total", "counter", "Requests by how they ended.")
    for outcome in Outcome.allCases {
      out.line(
        "portico_embed_requests_total", "outcome=\"\(outcome.rawValue)\"",
        "\(outcomes[outcome] ?? 0)")
    }
    out.family("portico_embed_refusals_total", "counter", "Requests refused, by reason.")
    for reason in EmbedError.Reason.allCases {
      out.line(
        "portico_embed_refusals_total", "reason=\"\(reason.rawValue)\"",
        "\(refusals[reason] ?? 0)")
    }
    out.histogram("portico_embed_batch_seconds", "From a batch's start to its end.", batchTime)
    out.histogram(
      "portico_embed_request_seconds", "From the request to its answer.", duration)
    return out.text
  }

  /// The text under way.
  private struct Page {
    private(set) var text = ""
    private let model: String

    init(model: String) {
      var escaped = ""
      for character in model.unicodeScalars {
        switch character {
        case "\\": escaped += "\\\\"
        case "\"": escaped += "\\\""
        case "\n": escaped += "\\n"
        default: escaped.unicodeScalars.append(character)
        }
      }
      self.model = "model_name=\"\(escaped)\""
    }

    mutating func family(_ name: String, _ type: String, _ help: String) {
      text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func line(_ name: String, _ labels: String, _ value: String) {
      text += "\(name){\(model)\(labels.isEmpty ? "" : ",")\(labels)} \(value)\n"
    }

    mutating func gauge(_ name: String, _ help: String, _ value: Int) {
      family(name, "gauge", help)
      line(name, "", "\(value)")
    }

    mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
      family(name, "counter", help)
      line(name, "", "\(value)")
    }

    mutating func histogram(_ name: String, _ help: String, _ values: Histogram) {
      family(name, "histogram", help)
      var sum: UInt64 = 0
      for index in 0..<Histogram.boundCount {
        sum += values.counts[index]
        line(
          name + "_bucket", "le=\"\(Double(Histogram.bounds[index]) / 1e9)\"", "\(sum)")
      }
      line(name + "_bucket", "le=\"+Inf\"", "\(values.count)")
      line(name + "_sum", "", "\(values.sumNanoseconds / 1e9)")
      line(name + "_count", "", "\(values.count)")
    }
  }
}
