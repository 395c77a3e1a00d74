import KServe
import Primitives
import WorkerAPI

/// What an embedding worker counts, and its text for Prometheus.
struct EmbedMetrics {
  enum Outcome: String, CaseIterable { case answered, left, failed }

  /// Requests.
  var outcomes: [Outcome: UInt64] = [:]
  var refusals: [APIError.Reason: UInt64] = [:]
  /// Computed, whether or not somebody still wanted them.
  var texts: UInt64 = 0
  var tokens: UInt64 = 0
  var batches: UInt64 = 0
  var batchTime = Histogram()
  var duration = Histogram()

  func text(_ server: EmbedServer) -> String {
    var out = MetricsPage(model: server.model.name)
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
    for reason in APIError.Reason.allCases {
      out.line(
        "portico_embed_refusals_total", "reason=\"\(reason.rawValue)\"",
        "\(refusals[reason] ?? 0)")
    }
    out.histogram("portico_embed_batch_seconds", "From a batch's start to its end.", batchTime)
    out.histogram(
      "portico_embed_request_seconds", "From the request to its answer.", duration)
    out.put(server.grpc, prefix: "portico_embed")
    return out.text
  }
}
