import GRPCServer
import Generation
import KServe
import Primitives
import WorkerAPI

/// What a worker counts, and its text for Prometheus.
struct WorkerMetrics {
  enum Outcome: String, CaseIterable { case stop, length, left, failed, slow }

  var outcomes: [Outcome: UInt64] = [:]
  var refusals: [APIError.Reason: UInt64] = [:]
  var restarts: UInt64 = 0
  var firstToken = Histogram()
  var gap = Histogram()
  var duration = Histogram()
  var promptTokens: UInt64 = 0
  var generatedTokens: UInt64 = 0

  func text(
    state: EngineState, report: EngineReport, inFlight: Int, isReady: Bool, model: String,
    grpc: GRPCServer?
  ) -> String {
    var facts: EngineFacts?
    if case .ready(let known) = state { facts = known }
    var out = MetricsPage(model: model)
    out.gauge("portico_worker_ready", "1 while /ready says yes.", isReady ? 1 : 0)
    out.gauge("portico_worker_in_flight", "Texts being made or waiting.", inFlight)
    out.gauge("portico_worker_running", "Sequences that the engine computes.", report.running)
    out.gauge("portico_worker_waiting", "Requests in the engine's queue.", report.waiting)
    // The names that routers and autoscalers look for.
    out.gauge("vllm:num_requests_running", "As portico_worker_running.", report.running)
    out.gauge("vllm:num_requests_waiting", "As portico_worker_waiting.", report.waiting)
    let blocks = facts?.blocks ?? 0
    out.gauge(
      "vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.",
      blocks > 0 ? Double(report.blocksUsed) / Double(blocks) : 0)
    out.gauge("portico_worker_kv_blocks", "KV blocks of the pool.", blocks)
    out.gauge("portico_worker_kv_blocks_used", "KV blocks in use.", report.blocksUsed)
    out.gauge(
      "portico_worker_kv_blocks_cached", "Free KV blocks that hold a prefix.",
      report.blocksCached)
    out.gauge(
      "portico_worker_weight_bytes", "Bytes of one rank's weights.", facts?.weightBytes ?? 0)
    out.gauge("portico_worker_kv_bytes", "Bytes of one rank's KV pool.", facts?.kvBytes ?? 0)
    out.gauge("portico_worker_ranks", "Ranks of the group.", facts?.ranks ?? 0)
    out.gauge(
      "portico_worker_batch_max", "MaxBatchSize of the batch law.", report.maxBatchSize)
    out.gauge(
      "portico_worker_batch_load", "CurrentLoad of the batch law.", report.currentLoad)
    out.gauge(
      "portico_worker_batch_memory_limit", "GPUMemoryLimit of the batch law: sequences that fit.",
      report.memoryLimit)
    out.gauge(
      "portico_worker_batch_limit", "The batch law's result: sequences that may run.",
      report.batchLimit)
    out.gauge(
      "portico_worker_token_budget", "Tokens that one step may compute now.", report.tokenBudget)
    out.gauge(
      "portico_worker_step_seconds", "Time of the last step.",
      Double(report.stepNanoseconds) / 1e9)
    out.counter("portico_worker_steps_total", "Steps of the engine.", report.steps)
    out.counter(
      "portico_worker_preemptions_total", "Sequences that gave their blocks up.",
      report.preemptions)
    out.counter(
      "portico_worker_prompt_tokens_total", "Tokens of prompts.", promptTokens)
    out.counter(
      "portico_worker_cached_prompt_tokens_total", "Tokens of prompts that were found cached.",
      report.cachedPromptTokens)
    out.counter(
      "portico_worker_generated_tokens_total", "Tokens that were made.", generatedTokens)
    out.counter("portico_worker_restarts_total", "Times the group was lost.", restarts)
    out.family("portico_worker_texts_total", "counter", "Texts by how they ended.")
    for outcome in Outcome.allCases {
      out.line(
        "portico_worker_texts_total", "outcome=\"\(outcome.rawValue)\"",
        "\(outcomes[outcome] ?? 0)")
    }
    out.family("portico_worker_refusals_total", "counter", "Requests refused, by reason.")
    for reason in APIError.Reason.allCases {
      out.line(
        "portico_worker_refusals_total", "reason=\"\(reason.rawValue)\"",
        "\(refusals[reason] ?? 0)")
    }
    out.histogram(
      "portico_worker_time_to_first_token_seconds", "From the request to its first token.",
      firstToken)
    out.histogram(
      "portico_worker_inter_token_seconds", "Between two tokens of a text.", gap)
    out.histogram(
      "portico_worker_request_seconds", "From the request to the end of its answer.", duration)
    out.put(grpc, prefix: "portico_worker")
    return out.text
  }
}
