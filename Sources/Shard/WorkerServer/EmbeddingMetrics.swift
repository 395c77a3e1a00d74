import Primitives

/// What an embedding worker counts.
struct EmbeddingMetrics {
  var requests: UInt64 = 0
  var tokens: UInt64 = 0
  var batches: UInt64 = 0
  var refusals: [APIError.Reason: UInt64] = [:]
  var duration = Histogram()

  func text(model: String, inFlight: Int, waiting: Int) -> String {
    var out = MetricsPage(model: model)
    out.gauge("portico_embed_in_flight", "Texts being embedded or waiting.", inFlight)
    out.gauge("portico_embed_waiting", "Texts that wait for a batch.", waiting)
    // The names that routers and autoscalers look for.
    out.gauge("vllm:num_requests_running", "Texts of the batch under way.", inFlight - waiting)
    out.gauge("vllm:num_requests_waiting", "As portico_embed_waiting.", waiting)
    out.counter("portico_embed_requests_total", "Requests that were taken.", requests)
    out.counter("portico_embed_tokens_total", "Tokens of their texts.", tokens)
    out.counter("portico_embed_batches_total", "Batches that were computed.", batches)
    out.family("portico_embed_refusals_total", "counter", "Requests refused, by reason.")
    for reason in APIError.Reason.allCases {
      out.line(
        "portico_embed_refusals_total", "reason=\"\(reason.rawValue)\"",
        "\(refusals[reason] ?? 0)")
    }
    out.histogram(
      "portico_embed_request_seconds", "From the request to its answer.", duration)
    return out.text
  }
}
